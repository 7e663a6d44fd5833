"""Holds rendered manifests, read from standard input, against schemas: Kubernetes' own, and those of the custom resources
whose definitions lie in these folders. A field that a schema does not know is a fault.

    validate.py KUBERNETES-VERSION FOLDER-OF-DEFINITIONS...

Whoever finds no fault has to find some: what is right is spoilt in several ways, and each has to be noticed.
"""

import collections
import copy
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

# Kinds whose definitions are in no package: not looked at unless somebody gives them.
UNSEEN = {("kafka.strimzi.io/v1", kind) for kind in ("Kafka", "KafkaNodePool", "KafkaUser")}


def closed(schema):
    """The same schema, which takes no field that it does not name."""
    if isinstance(schema, list):
        return [closed(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: closed(it) for name, it in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.setdefault("additionalProperties", False)
    return schema


def definitions(folders):
    """The schemas of custom resources, by version and kind."""
    files = [file for folder in folders for file in sorted(pathlib.Path(folder).glob("*.yaml"))]
    documents = [it for file in files for it in yaml.safe_load_all(file.read_text()) if it]
    known = {}
    for spec in (it["spec"] for it in documents if it["kind"] == "CustomResourceDefinition"):
        for version in spec["versions"]:
            name = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
            known[name] = closed(version["schema"]["openAPIV3Schema"])
    return known


def complaint(document, version, known):
    """What is wrong with a document, if anything is."""
    name = (document.get("apiVersion"), document.get("kind"))
    try:
        if name in known:
            jsonschema.validate(document, known[name])
        elif name not in UNSEEN:
            kubernetes_validate.validate(document, version, strict=True)
    except jsonschema.ValidationError as error:
        return f"at {'/'.join(map(str, error.absolute_path)) or 'its top'}: {error.message}"
    except kubernetes_validate.ValidationError as error:
        return f"at {'/'.join(map(str, error.path)) or 'its top'}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError:
        return "there is no such kind"
    return None


def spoilt(documents):
    """Documents that are wrong in one place each, with what was done to them."""

    def spoil(kind, what, change):
        document = copy.deepcopy(next(it for it in documents if it["kind"] == kind))
        change(document)
        return f"{kind}: {what}", document

    return [
        spoil("Deployment", "no such field", lambda it: it["spec"].update(replica=2)),
        spoil("Deployment", "wrong type", lambda it: it["spec"].update(replicas="two")),
        spoil("Deployment", "nothing where something must be", lambda it: it["spec"].pop("selector")),
        spoil("Deployment", "no such kind", lambda it: it.update(kind="Deploiment")),
        spoil("Deployment", "no such version", lambda it: it.update(apiVersion="apps/v9")),
        spoil("NetworkPolicy", "no such field", lambda it: it["spec"].update(ingres=[])),
        spoil("Cluster", "no such field", lambda it: it["spec"].update(instance=3)),
        spoil("Cluster", "wrong type", lambda it: it["spec"].update(instances="three")),
        spoil("Cluster", "nothing where something must be", lambda it: it["spec"].pop("instances")),
    ]


def main(version, *folders):
    documents = [it for it in yaml.safe_load_all(sys.stdin) if it]
    known = definitions(folders)
    faults, kinds = [], collections.Counter()
    for document in documents:
        name = f"{document.get('kind')} {document.get('metadata', {}).get('name')}"
        fault = complaint(document, version, known)
        if fault:
            faults.append(f"{name}: {fault}")
        kinds[(document.get("apiVersion"), document.get("kind"))] += 1
    missed = [what for what, document in spoilt(documents) if not complaint(document, version, known)]
    faults += [f"not noticed: {what}" for what in missed]
    for name, count in sorted(kinds.items()):
        unseen = ", not looked at: no definition" if name in UNSEEN and name not in known else ""
        print(f"  {count:3} {name[1]} of {name[0]}{unseen}")
    for fault in faults:
        print(f"  ✘ {fault}")
    return 1 if faults else 0


sys.exit(main(*sys.argv[1:]))
