"""Compares the results of suites on a plain server and through Dormouse: see tests/suites/run --help."""

import argparse
import json
import pathlib
import sys

#: At most so many findings of a suite are printed.
SHOWN = 50


def results(path):
    """The outcome of each test. Of a test that ran twice, the one that failed."""
    outcomes = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            test, outcome, _seconds = line.split("\t")
            if not outcomes.get(test, "passed").startswith("failed"):
                outcomes[test] = outcome
    return outcomes


def listed(path):
    """The differences that are known: (suite, test) and the reason."""
    known = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        parts = line.split("\t")
        if len(parts) != 3 or not all(parts):
            sys.exit(f"{path}:{number}: expected SUITE, TEST and REASON with tabs between them")
        known[parts[0], parts[1]] = parts[2]
    return known


def compare(suite, bare, through, known, partial):
    """Returns what was found about a suite: (kind, test, on the plain server, through Dormouse)."""
    findings = []
    for test in sorted(bare.keys() | through.keys()):
        one, other = bare.get(test, "not run"), through.get(test, "not run")
        if one != other:
            findings.append(("known" if (suite, test) in known else "new", test, one, other))
        elif (suite, test) in known:
            findings.append(("gone", test, one, other))
    for other_suite, test in known:
        if other_suite == suite and test not in bare and test not in through and not partial:
            findings.append(("gone", test, "not run", "not run"))
    return findings


def passed(outcomes):
    return sum(outcome == "passed" for outcome in outcomes.values())


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--partial", action="store_true", help="not all tests were to run")
    arguments.add_argument("--differences", type=pathlib.Path, required=True)
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("suites", nargs="+")
    given = arguments.parse_args()
    known = listed(given.differences)
    rows, failed = [], False
    for suite in given.suites:
        bare = results(given.folder / f"{suite}.bare")
        through = results(given.folder / f"{suite}.dormouse")
        findings = compare(suite, bare, through, known, given.partial)
        if not bare or not passed(bare):
            findings.append(("new", "(the suite itself)", "no test passed", f"{passed(through)} passed"))
        jostle = given.folder / f"{suite}.jostle"
        if jostle.exists() and jostle.stat().st_size:
            # the last line of a traceback
            findings.append(("new", "(other sessions)", "", jostle.read_text(encoding="utf-8").strip().split("\n")[-1]))
        row = {
            "suite": suite,
            "bare": {"run": len(bare), "passed": passed(bare)},
            "dormouse": {"run": len(through), "passed": passed(through)},
            "known": sum(kind == "known" for kind, *_ in findings),
            "findings": [
                dict(zip(("kind", "test", "bare", "dormouse"), finding)) for finding in findings if finding[0] != "known"
            ],
        }
        failed = failed or bool(row["findings"])
        rows.append(row)
    if given.json:
        json.dump({"suites": rows, "ok": not failed}, sys.stdout, indent=2)
        print()
    else:
        show(rows)
    sys.exit(1 if failed else 0)


def show(rows):
    for row in rows:
        for finding in row["findings"][:SHOWN]:
            if finding["kind"] == "new":
                print(f"DIFFERS {row['suite']}: {finding['test']}")
                print(f"        plain server: {finding['bare']}; through Dormouse: {finding['dormouse']}")
            else:
                print(f"NO LONGER DIFFERS {row['suite']}: {finding['test']}")
                print(f"        both: {finding['bare']}; remove its line from tests/suites/differences.txt")
        if len(row["findings"]) > SHOWN:
            print(f"        … and {len(row['findings']) - SHOWN} more; --json has them all")
    print(f"{'suite':12} {'plain: run':>10} {'passed':>7} {'Dormouse: run':>14} {'passed':>7} {'known':>6} {'new':>5} {'gone':>5}")
    for row in rows:
        kinds = [finding["kind"] for finding in row["findings"]]
        print(
            f"{row['suite']:12} {row['bare']['run']:10} {row['bare']['passed']:7} {row['dormouse']['run']:14}"
            f" {row['dormouse']['passed']:7} {row['known']:6} {kinds.count('new'):5} {kinds.count('gone'):5}"
        )


if __name__ == "__main__":
    main()
