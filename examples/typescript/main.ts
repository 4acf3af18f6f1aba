// The main job from TypeScript, with a client that is generated from the API's
// description: quote, order, wait, download, and see what it cost. Every answer,
// also a refusal, is typed.
import createClient from "openapi-fetch";
import type { components, paths } from "./holdfast.js";

type Order = components["schemas"]["Order"];
type LeadRow = components["schemas"]["LeadRow"];
type NewOrder = components["schemas"]["NewOrder"];

declare const process: { env: Record<string, string | undefined>; exitCode?: number };

function setting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`set ${name}`);
  return value;
}

const api = createClient<paths>({
  baseUrl: setting("HOLDFAST_URL"),
  headers: { Authorization: `Bearer ${setting("HOLDFAST_API_KEY")}` },
});

/** The kinds of orders that end without a result. */
const lost: Order["status"][] = ["rejected", "cancelled", "failed"];

async function place(body: NewOrder, key: string): Promise<Order> {
  const { data, error } = await api.POST("/api/v1/orders", {
    params: { header: { "Idempotency-Key": key }, query: { wait: "30s" } },
    body,
  });
  if (data) return data;
  if (error.code === "insufficient_credits") {
    const missing = (error.missing ?? []).map((m) => `${m.amount} ${m.type}`).join(", ");
    throw new Error(`${error.status} ${error.code}: missing ${missing}`);
  }
  throw new Error(`${error.code}: ${error.detail}`);
}

async function settled(id: string): Promise<Order> {
  for (;;) {
    const { data, error } = await api.GET("/api/v1/orders/{id}", { params: { path: { id } } });
    if (!data) throw new Error(error ? error.detail : "nothing has changed");
    if (data.status === "settled" || lost.includes(data.status)) return data;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function leadsOf(id: string): Promise<LeadRow[]> {
  const { data, error } = await api.GET("/api/v1/orders/{id}/results.ndjson", { params: { path: { id } }, parseAs: "text" });
  if (data === undefined) throw new Error(error.detail);
  return data.split("\n").filter(Boolean).map((line) => JSON.parse(line) as LeadRow);
}

async function main(): Promise<void> {
  const count = Number(process.env["COUNT"] ?? "20");
  const body: NewOrder = { kind: "lead_list", count, criteria: { has_phone: false } };
  const quote = await api.POST("/api/v1/quotes", { body });
  if (!quote.data) throw new Error(quote.error.detail);
  console.log(`quote: ${quote.data.candidates} candidates, covered: ${quote.data.covered}`);

  const order = await settled((await place(body, `typescript-${count}-${process.env["RUN"] ?? "1"}`)).id);
  const leads = await leadsOf(order.id);
  const charged = order.credits.reduce((sum, c) => sum + c.captured, 0);
  if (leads.length !== charged) throw new Error(`${leads.length} leads, ${charged} credits`);
  for (const lead of leads.slice(0, 3)) {
    console.log(`${lead.first_name} ${lead.last_name}, ${lead.title}: ${lead.email} (${lead.verdict}, ${lead.mx_host} ${lead.smtp_code ?? "-"})`);
  }
  const credits = await api.GET("/api/v1/credits");
  if (!credits.data) throw new Error(credits.error.detail);
  for (const c of credits.data.credits) console.log(`${c.type}: ${c.available} available`);
  console.log(`${order.status}: ${leads.length} leads, ${charged} credits charged`);
}

main().catch((reason: unknown) => {
  console.error(reason instanceof Error ? reason.message : reason);
  process.exitCode = 1;
});
