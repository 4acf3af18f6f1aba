#!/bin/sh
# Orders leads, waits for the webhook that says they are delivered, and downloads
# them: curl for what is asked, a few lines of Python 3 for what comes in.
#
#   HOLDFAST_URL=http://127.0.0.1:8080 HOLDFAST_KEY=hf_… ./order.sh 100 > leads.csv
set -eu
api="$HOLDFAST_URL/api/v1"
work=$(mktemp -d)
trap 'kill "${listener:-$$}" 2>/dev/null || true; rm -rf "$work"' EXIT

ask() { # METHOD PATH [BODY]
  curl --fail-with-body --silent --show-error -X "$1" "$api$2" -H "Authorization: Bearer $HOLDFAST_KEY" \
    ${3:+-H "Content-Type: application/json" -H "Idempotency-Key: ${PURCHASE:-purchase-$$-$(date +%s)}" -d "$3"}
}
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; } # of the JSON on stdin

# The listener checks every signature (Standard Webhooks) and leaves the events
# of an order in a file of the order's name.
cat > "$work/listen.py" <<'PYTHON'
import base64, hashlib, hmac, http.server, json, os, sys
work = sys.argv[1]
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        key = base64.b64decode(open(work + "/secret").read().strip().removeprefix("whsec_"))
        signed = "{webhook-id}.{webhook-timestamp}.".format(**{k.lower(): v for k, v in self.headers.items()}).encode() + body
        good = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        known = any(hmac.compare_digest(good, s) for s in self.headers["webhook-signature"].split())
        self.send_response(204 if known else 400)
        self.end_headers()
        if known:
            with open(work + "/" + os.path.basename(json.loads(body)["data"]["id"]), "a") as file:
                file.write(json.loads(body)["type"] + "\n")
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Hook)
with open(work + "/port.new", "w") as file: file.write(str(server.server_port))
os.rename(work + "/port.new", work + "/port")
server.serve_forever()
PYTHON
python3 "$work/listen.py" "$work" & listener=$!
until [ -s "$work/port" ]; do kill -0 "$listener"; sleep 0.1; done

hook=$(ask POST /webhooks "{\"url\":\"http://127.0.0.1:$(cat "$work/port")\",\"events\":[\"order.completed\",\"order.failed\"]}")
printf '%s' "$hook" | field secret > "$work/secret"

# The key makes the request safe to repeat: take the number of your own purchase.
id=$(ask POST /orders "{\"kind\":\"lead_list\",\"count\":${1:-100}}" | sed 's/^{"id":"\([a-z0-9_]*\)".*/\1/')
echo "Order $id was placed." >&2
until [ -s "$work/$id" ]; do sleep 0.2; done
echo "The webhook says: $(head -n 1 "$work/$id")." >&2
ask DELETE "/webhooks/$(printf '%s' "$hook" | field id)"
grep -q order.completed "$work/$id"
ask GET "/orders/$id/results.csv"
