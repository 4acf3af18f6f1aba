#!/bin/sh
# From a price at Stripe to credits, alerts and automatic purchases, with curl.
#
#   HOLDFAST_URL=http://127.0.0.1:8080 HOLDFAST_OPERATOR_KEY=… HOLDFAST_KEY=hf_… PRICE=price_… ./walk.sh
#
# With HOLDFAST_STRIPE_WEBHOOK_SECRET it also reports the payment, as Stripe does;
# leave it out where Stripe itself reports, and pay at the printed address.
set -eu
api="$HOLDFAST_URL/api/v1"

ask() { # KEY METHOD PATH [BODY]
  curl --fail-with-body --silent --show-error -X "$2" "$api$3" -H "Authorization: Bearer $1" \
    ${4:+-H "Content-Type: application/json" -H "Idempotency-Key: walk-$PRICE" -d "$4"}
  echo
}
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; } # of the JSON on stdin

echo "1. The operator says what the price buys: 5,000 email credits."
ask "$HOLDFAST_OPERATOR_KEY" PUT "/integrations/stripe/prices/$PRICE" '{"type":"email","credits":5000}'

echo "2. A customer's backend begins a purchase and sends the buyer to the url."
checkout=$(ask "$HOLDFAST_KEY" POST /checkout "{\"price\":\"$PRICE\",\"quantity\":2,\"save_card\":true,\"success_url\":\"https://example.com/paid\"}")
echo "$checkout"
session=$(printf '%s' "$checkout" | field id)

if [ -n "${HOLDFAST_STRIPE_WEBHOOK_SECRET:-}" ]; then
  echo "3. Stripe reports the payment; it does so until it gets 200, and more than once at times."
  org=$(ask "$HOLDFAST_KEY" GET /me | sed -n 's/.*"org":{"id":"\([^"]*\)".*/\1/p')
  now=$(date +%s)
  event="{\"id\":\"evt_$session\",\"object\":\"event\",\"created\":$now,\"type\":\"checkout.session.completed\",\"data\":{\"object\":{\"id\":\"$session\",\"object\":\"checkout.session\",\"mode\":\"payment\",\"payment_status\":\"paid\",\"client_reference_id\":\"$org\",\"customer\":\"cus_$session\",\"payment_intent\":\"pi_$session\",\"amount_total\":9800,\"currency\":\"eur\"}}}"
  signature=$(printf '%s.%s' "$now" "$event" | openssl dgst -sha256 -hmac "$HOLDFAST_STRIPE_WEBHOOK_SECRET" | sed 's/.* //')
  for _ in 1 2; do
    curl --fail-with-body --silent --show-error "$api/integrations/stripe/webhook" -H "Stripe-Signature: t=$now,v1=$signature" -d "$event"
    echo
  done
fi

echo "4. The credits are there, once, and what was paid for them."
ask "$HOLDFAST_KEY" GET /purchases
ask "$HOLDFAST_KEY" GET /credits

echo "5. An event tells when fewer than 1,000 are left; below 500 the saved card is charged, at most twice a month."
ask "$HOLDFAST_KEY" PUT /credits/thresholds '{"type":"email","thresholds":[{"credits":1000}]}'
ask "$HOLDFAST_KEY" PUT /top-ups "{\"type\":\"email\",\"enabled\":true,\"below\":500,\"price\":\"$PRICE\",\"monthly_credits\":10000,\"monthly_amount\":10000,\"currency\":\"eur\"}"

echo "6. What finance gets."
curl --fail-with-body --silent --show-error "$api/reports/revenue.csv" -H "Authorization: Bearer $HOLDFAST_OPERATOR_KEY"
