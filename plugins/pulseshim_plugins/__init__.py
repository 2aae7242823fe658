"""Where events come from: the sources that read Mercurial, git, Bugzilla and Buildbot."""
