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
