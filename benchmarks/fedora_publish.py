"""`python -m benchmarks.fedora_publish URL EXCHANGE KEY COUNT`: publishes with fedora-messaging, one by one.

Prints the seconds from the first confirm to the last, for COUNT messages. It runs a reactor of Twisted in a
thread of its own, and so it gets a process of its own.
"""

import sys
import time

from fedora_messaging import api, config


def main(url: str, exchange: str, key: str, count: int) -> None:
    """Publish and print."""
    # Any file that is not there: the settings of the machine must not play a part.
    config.conf.load_config("/nonexistent")
    config.conf.update({"amqp_url": url, "exchanges": {}, "queues": {}, "bindings": []})
    message = api.Message(topic=key, body={"text": "x" * 480})
    api.publish(message, exchange=exchange)
    begin = time.perf_counter()
    for _ in range(count):
        api.publish(api.Message(topic=key, body={"text": "x" * 480}), exchange=exchange)
    print(time.perf_counter() - begin)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
