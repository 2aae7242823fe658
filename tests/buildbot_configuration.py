"""What the master of the tests builds, and how: the files of its configuration."""

MASTER_CFG = """\
import buildbot
from buildbot.plugins import changes, reporters, schedulers, steps, util, worker
from buildbot.process.results import EXCEPTION

exec(open("{extra}").read())

def sh(text, **more):
    return steps.ShellCommand(command=["sh", "-c", text], **more)

def factory(*parts):
    return util.BuildFactory(list(parts))

FACTORIES = {{
    "good": factory(sh("echo built", name="compile"), sh("echo tested", name="test")),
    "bad": factory(sh("echo no; exit 1", name="compile", haltOnFailure=True), sh("true", name="never")),
    "warn": factory(sh("exit 1", name="lint", warnOnFailure=True, flunkOnFailure=False)),
    "skip": factory(sh("true", name="never", doStepIf=False)),
    "slow": factory(sh("echo begun; sleep 120", name="sleep")),
    "away": factory(sh("true")),
    "steady": factory(sh("echo once", name="once")),
    "a.b c/d \\u00fc": factory(sh("echo odd", name="x.y z")),
    "props": factory(
        steps.SetProperty(property="artifact", value="v1"),
        steps.SetProperty(property="deploy_password", value="do-not-tell"),
        steps.SetProperty(property="api_key", value="do-not-tell"),
        steps.SetProperty(property="large", value="x" * 100000),
    ),
}}

# Buildbot 3 cannot skip a build, only its steps.
SKIPPED = {{"do_build_if": lambda build: False}} if int(buildbot.version.split(".")[0]) > 3 else {{}}

c = BuildmasterConfig = {{
    "workers": [worker.Worker("w1", "secret", max_builds=8), worker.Worker("w-2", "secret")],
    "protocols": {{"pb": {{"port": "tcp:{pb}:interface=127.0.0.1"}}}},
    "builders": [
        util.BuilderConfig(
            name=name,
            workernames=["w-2" if name == "away" else "w1"],
            factory=each,
            collapseRequests=name not in ("steady", "good"),
            **(SKIPPED if name == "skip" else {{}}),
        )
        for name, each in FACTORIES.items()
    ],
    "schedulers": [
        schedulers.ForceScheduler(name="force", builderNames=list(FACTORIES)),
        schedulers.AnyBranchScheduler(name="push", builderNames=["good"], treeStableTimer=None),
    ],
    "services": SERVICES,
    "title": "test",
    "titleURL": "http://127.0.0.1:{www}/",
    "buildbotURL": "http://127.0.0.1:{www}/",
    "www": {{"port": "tcp:{www}:interface=127.0.0.1", "change_hook_dialects": {{"base": True}}, **WWW}},
    "db": {{"db_url": "sqlite:///state.sqlite"}},
    "buildbotNetUsageData": None,
}}
"""

BUILDBOT_TAC = """\
from twisted.application import service
from buildbot.master import BuildMaster

application = service.Application('buildmaster')
master = BuildMaster("{directory}", "master.cfg", umask=None)
master.setServiceParent(application)
"""
