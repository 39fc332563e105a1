"""What others shared, from a bundle to a finding and back: `share import`, `scan --indicators`, `share sources`."""
import json, os, unittest, uuid

from common import Case

NAMESPACE = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")  # of STIX's deterministic ids


class Imports(Case):
    def data(self):
        folder = self.path("data")
        if not os.path.isdir(folder):
            os.makedirs(folder)
        return folder

    def test_a_bad_bundle_changes_nothing(self):
        for name, text in {"empty": "", "list": "[]", "other": '{"type":"bundle"}', "half": '{"type":"bundle","id":'}.items():
            bad = self.write(name + ".json", text)
            out, err = self.run_it("share", "import", bad, "--source", "north", "--data", self.data(), code=2)
            self.assertIn(name + ".json", err)
            self.assertEqual(err.count("\n"), 1, err)
            self.run_it("scan", "--out", self.path("out"), "--indicators", bad, code=2)
        out, _ = self.run_it("share", "sources", "--data", self.data())
        self.assertEqual(len(out.splitlines()), 1, out)

    def test_grades_are_people_s(self):
        self.run_it("share", "sources", "north", "--reliability", "B", "--note", "right in 9 of 11", "--data", self.data())
        out, _ = self.run_it("share", "sources", "--data", self.data())
        self.assertRegex(out, r"north +B ")
        for bad in ("G", "BB", ""):
            self.run_it("share", "sources", "north", "--reliability", bad or "b", "--data", self.data(), code=2)
        self.run_it("share", "revoke", "nobody", "--data", self.data(), code=2)
        out, _ = self.run_it("share", "imports", "--json", "--data", self.data())
        self.assertEqual(json.loads(out), {"schema": "stillwatch.indicators/1", "indicators": []})

    def test_a_comparison_s_result_acts_for_ninety_days(self):
        # The sort is a digest of the peer, family and value: a second import is the same rows.
        result = {"schema": "stillwatch.comparison/1", "peer": "bee", "reliability": "B", "mode": "which", "run": "00", "epoch": "2026-11-16/P7D", "at": "2098-11-21T12:00:00Z",
                  "campaign": "c1", "families": [{"family": "payment", "mine": 3, "theirs": 4, "common": 2}],
                  "matched": [{"family": "payment", "value": "card_1"}, {"family": "mail-domain", "value": "example.org"}, {"family": "mail", "value": "x@example.org"}], "transcript": "00"}
        def take(code=0, **change):
            return self.run_it("share", "import", self.write("result.json", json.dumps({**result, **change})), "--source", "bee", "--data", self.data(), code=code)[code and 1]
        self.assertEqual(take(), "2 new, 0 changed, 0 revoked, 0 as they were; 1 patterns of other kinds are not acted on\n")
        self.assertIn("0 new, 0 changed, 0 revoked, 2 as they were", take())
        self.assertIn("0 new, 2 changed, 0 revoked, 0 as they were", take(at="2098-11-22T12:00:00Z"))
        # It holds for 90 days from the comparison; this one is of a time to come, so it waits.
        out, _ = self.run_it("share", "imports", "--source", "bee", "--status", "waiting", "--data", self.data())
        self.assertRegex(out, r"bee +F1 +mail-domain +2099-02-20T12:00:00.000Z")
        self.assertEqual(len(out.splitlines()), 3, out)
        self.assertIn("0 changed, 0 revoked, 2 as they were", take(at="2026-11-23T12:00:00Z"))  # an older one changes nothing
        # How many, not which: nothing to act on. And what is not as it must be changes nothing, and says where.
        self.assertIn("0 new, 0 changed, 0 revoked, 0 as they were", take(matched=[], mode="count"))
        for change, where in (({"schema": "stillwatch.comparison/12"}, "/schema"), ({"at": "yesterday"}, "/at"), ({"peer": 7}, "/peer"), ({"campaign": None}, "/campaign"),
                              ({"matched": [{"family": "payment", "value": "c"}, {"family": "payment"}]}, "/matched/1")):
            err = take(code=2, **change)
            self.assertIn(f"result.json: {where}: ", err)
            self.assertEqual(err.count("\n"), 1)
        out, _ = self.run_it("share", "imports", "--data", self.data())
        self.assertEqual(len(out.splitlines()), 3, out)

    def test_ours_is_read_back_whole_or_refused_with_the_place(self):
        one = {"source": "north", "id": "indicator--1", "campaign": "campaign--1", "type": "payment", "value": "c1", "blinded": False,
               "grade": "B2", "modified_ms": 1, "valid_from_ms": 0, "valid_until_ms": 2**63 - 1}
        def told(**change):
            path = self.write("i.json", json.dumps({"schema": "stillwatch.indicators/1", "indicators": [one, {**one, "id": "indicator--2", **change}]}))
            return self.run_it("scan", "--out", self.path("o"), "--indicators", path, code=2)[1]
        for change in ({"grade": "G2"}, {"type": "price"}, {"value": 7}, {"grade": "B"}, {"type": "template-sketch", "value": "2:xyz"}):
            self.assertIn("/indicators/1", told(**change), change)


if __name__ == "__main__":
    unittest.main()
