#!/usr/bin/env python3
"""What kazoo's tests said of each kind of server, test by test. usage: kazoo_compare.py FOLDER NOT_YET_LIST

Ends with 1 if a test passes with one of the Java servers and not with Zoetrope, unless the list names it; and if one of the list
passes.
"""
import os
import sys
import xml.etree.ElementTree as xml

KINDS = ("zoetrope", "java38", "java39")


def results(path):
    """Test -> (passed, failed or skipped; why)."""
    found = {}
    for case in xml.parse(path).iter("testcase"):
        name = "%s::%s" % (case.get("classname").split("kazoo.tests.")[-1], case.get("name"))
        verdict, why = "passed", ""
        for child in case:
            if child.tag in ("failure", "error", "skipped"):
                verdict = "skipped" if child.tag == "skipped" else "failed"
                why = (child.get("message") or "").strip().splitlines()[:1]
                why = why[0] if why else ""
        # The same name twice is an error in setting up or tearing down: the worse one counts.
        if found.get(name, ("passed",))[0] != "failed":
            found[name] = verdict, why
    return found


def read_list(path):
    with open(path) as f:
        lines = [line.split(None, 1) for line in f if line.strip() and not line.startswith("#")]
    return [(word, why.strip()) for word, why in lines]


def main(folder, listed):
    paths = {kind: os.path.join(folder, "kazoo-%s.xml" % kind) for kind in KINDS}
    runs = {kind: results(path) for kind, path in paths.items() if os.path.exists(path)}
    not_yet = read_list(listed)
    for kind, run in runs.items():
        count = [sum(v == what for v, _ in run.values()) for what in ("passed", "failed", "skipped")]
        print("%-9s %d passed, %d failed, %d skipped, of %d" % (kind, *count, len(run)))
    bad = 0
    for name in sorted(set().union(*runs.values())):
        said = {kind: run.get(name, ("not called", ""))[0] for kind, run in runs.items()}
        why = next((reason for word, reason in not_yet if word in name), None)
        ours = said.get("zoetrope")
        wrong = None
        if ours == "passed" and why:
            wrong = "passes, and is in the list of what cannot: %s" % why
        elif ours in ("failed", "skipped", "not called") and not why and "passed" in [v for k, v in said.items() if k != "zoetrope"]:
            wrong = "passes with Java only"
        elif ours == "failed" and not why and len(runs) == 1:
            wrong = "fails"
        bad += wrong is not None
        if wrong or len(set(said.values()) | {"passed"}) > 1:
            print("  %-80s %s%s" % (name, ", ".join("%s %s" % pair for pair in said.items()),
                                     "  <<< " + wrong if wrong else "  (%s)" % why if why else ""))
            for kind, run in runs.items():
                if said[kind] != "passed" and run.get(name, ("", ""))[1]:
                    print("      %s: %s" % (kind, run[name][1][:150]))
    print("kazoo-cluster: %s" % ("%d FAILED" % bad if bad else "passed"))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
