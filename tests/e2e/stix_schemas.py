"""STIX objects against JSON schemas: the extension's, which travels in each bundle, and OASIS's, where
STILLWATCH_STIX_SCHEMAS names a folder with `schemas` and `interop` of oasis-open/cti-stix2-json-schemas (they are not in
this repository). Prints a line for each fault of the bundles named. For Debian's Python with python3-jsonschema:
  /usr/bin/python3 tests/e2e/stix_schemas.py BUNDLE..."""
import glob, json, os, sys
import jsonschema

EXTENSION = "extension-definition--499bd72f-1df0-4fa4-9a5d-d86d61a64ab3"

def extension_faults(bundle):
    """Of each object's Stillwatch extension against the schema that the bundle itself carries."""
    schema = json.loads(next(o["schema"] for o in bundle["objects"] if o["id"] == EXTENSION))
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    return [f"{o['id']}: {e.message}" for o in bundle["objects"] if EXTENSION in o.get("extensions", {}) for e in check.iter_errors(o["extensions"][EXTENSION])]

def oasis_faults(bundle, folder):
    """Of each object against its schema and, where there is one, the interoperability overlay's."""
    store, by_type = {}, {}
    for path in sorted(glob.glob(f"{folder}/**/*.json", recursive=True)):
        name, overlay = os.path.basename(path)[:-5], "/interop/" in path
        if overlay and name == "course-of-action":  # upstream gives it the id of campaign's
            continue
        schema = json.load(open(path))
        # Some say another folder in their id than the one that others refer to.
        base = "http://stix/" + os.path.relpath(path, folder)
        schema["$id"] = base
        store[base] = schema
        by_type.setdefault(name, []).append(base)
    faults = []
    def check(what, schema):
        resolver = jsonschema.RefResolver(schema, store[schema], store=store)
        for e in jsonschema.Draft202012Validator(store[schema], resolver=resolver).iter_errors(what):
            faults.append(f"{what.get('id')}: {os.path.relpath(schema, 'http://stix')}: {e.message[:300]}")
    for o in bundle["objects"]:
        if not by_type.get(o["type"]):
            faults.append(f"{o['id']}: no schema")
        for schema in by_type.get(o["type"], []):
            check(o, schema)
    return faults

if __name__ == "__main__":
    for name in sys.argv[1:]:
        bundle = json.load(open(name))
        faults = extension_faults(bundle)
        if folder := os.environ.get("STILLWATCH_STIX_SCHEMAS"):
            faults += oasis_faults(bundle, folder)
        for fault in faults:
            print(f"{name}: {fault}")
