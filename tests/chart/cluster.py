"""As much of a Kubernetes API on loopback as Helm asks for when it renders against a cluster that has some objects."""

import base64, contextlib, http.server, json, threading

# The kinds of objects in a release, by the version that has them.
KINDS = {
    "v1": ["Secret", "Service", "ServiceAccount"],
    "apps/v1": ["Deployment", "StatefulSet"],
    "policy/v1": ["PodDisruptionBudget"],
    "autoscaling/v2": ["HorizontalPodAutoscaler"],
}
OWNED = {"meta.helm.sh/release-name": "bucketport", "meta.helm.sh/release-namespace": "ftp"}


def answers(secrets, replicas):
    groups = [version for version in KINDS if "/" in version]
    about = lambda version: {"groupVersion": version, "version": version.rpartition("/")[2]}
    found = {
        "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {
            "kind": "APIGroupList",
            "groups": [
                {"name": group.partition("/")[0], "versions": [about(group)], "preferredVersion": about(group)}
                for group in groups
            ],
        },
    }
    for version, kinds in KINDS.items():
        resources = [{"name": f"{kind.lower()}s", "namespaced": True, "kind": kind, "verbs": ["get"]} for kind in kinds]
        path = f"/apis/{version}" if "/" in version else f"/api/{version}"
        found[path] = {"kind": "APIResourceList", "groupVersion": version, "resources": resources}
    managed = {"namespace": "ftp", "labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": OWNED}
    for name, content in secrets.items():
        found[f"/api/v1/namespaces/ftp/secrets/{name}"] = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, **managed},
            "data": {key: base64.b64encode(text.encode()).decode() for key, text in content.items()},
        }
    if replicas is not None:
        found["/apis/apps/v1/namespaces/ftp/statefulsets/bucketport"] = {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "bucketport", **managed},
            "spec": {"replicas": replicas},
        }
    return found


@contextlib.contextmanager
def with_objects(secrets, replicas=None):
    """The address of a cluster whose namespace `ftp` has these Secrets of the release `bucketport`, and this many pods."""
    known = answers(secrets, replicas)

    class Api(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            answer = known.get(self.path.partition("?")[0])
            missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            body = json.dumps(answer or missing).encode()
            self.send_response(200 if answer else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
