// Sharing a campaign with others: what would leave is read first, value by value, and two persons
// answer for it.
import { useState } from "react";
import { Link, useLocation } from "wouter";
import { post, take, type Finding, type Schemas } from "../api";
import { useGet, useUrl } from "../hooks";
import { minute, number, words } from "../text";
import { Dialog, Field, Page, Pager, Show, Table, useSay } from "../ui";

const AUDIENCES = ["provider", "cloud", "government", "public"] as const;
type Audience = (typeof AUDIENCES)[number];
type Export = Schemas["ShareExport"];
const LIMIT = 100;
const SUSPICION = "It leaves as a suspicion, which says that the evidence here does not suffice to accuse: scaffold, rhythm, capabilities and rounded figures alone. When it is dropped, take it back.";
const RULES: Record<string, string> = { never: "never leaves", compare: "by private comparison only", blinded: "only under a group's key", plain: "too little of it" };

function Propose({ campaign, name, suspected, audience, close, done }: { campaign: string; name: string; suspected: boolean; audience: Audience; close: () => void; done: () => void }) {
  const [issuer, setIssuer] = useState("");
  const [note, setNote] = useState("");
  const say = useSay();
  return (
    <Dialog
      title={`Share ${suspected ? "the suspicion of " : ""}${name} with: ${audience}`}
      submit="Propose it"
      onClose={close}
      onSubmit={async () => {
        await post("/api/v1/sharing/exports", {}, { campaign_id: campaign, audience, issuer, note });
        done();
        say({ text: `${name}: proposed. Another person has to approve it before anything leaves.` });
      }}
    >
      <p>What leaves is what the preview shows, as STIX 2.1. Once approved it can be downloaded here; nothing is sent by itself.</p>
      {suspected && <p>{SUSPICION}</p>}
      <Field label="As whom" hint="How the others know your organisation.">
        {(id) => <input id={id} required maxLength={200} value={issuer} onChange={(e) => setIssuer(e.target.value)} />}
      </Field>
      <Field label="Why">{(id) => <input id={id} required maxLength={1000} value={note} onChange={(e) => setNote(e.target.value)} />}</Field>
    </Dialog>
  );
}

function Preview({ campaign, audience, done }: { campaign: string; audience: Audience; done: () => void }) {
  const [url, set] = useUrl();
  const offset = Number(url.get("offset")) || 0;
  const type = url.get("type") ?? "";
  const preview = useGet("/api/v1/sharing/preview", {}, { campaign, audience, type, offset, limit: LIMIT });
  const one = useGet("/api/v1/campaigns/{id}", { id: campaign });
  const [proposing, setProposing] = useState(false);
  const suspected = one.data?.verdict === "unresolved" || (one.data?.finding as Finding | undefined)?.open === false;
  return (
    <Show of={preview}>
      {(p) => (
        <>
          {suspected && p.leaves.length > 0 && <p>{SUSPICION}</p>}
          <h3>What leaves</h3>
          {p.leaves.length === 0 ? (
            <div className="empty">
              <p>Nothing: of this campaign there is nothing that this audience may have.</p>
            </div>
          ) : (
            <>
              <Table
                label="What leaves"
                rows={p.leaves}
                id={(l) => `${l.type} ${l.form}`}
                columns={[
                  { head: "What", cell: (l) => words(l.type.replaceAll("-", " ")) },
                  { head: "How", cell: (l) => (l.form === "plain" ? "as it is" : "blinded with the group's key") },
                  { head: "Values", number: true, cell: (l) => number(l.count) },
                ]}
              />
              <details open={url.has("values")} onToggle={(e) => e.currentTarget.open !== url.has("values") && set({ values: e.currentTarget.open ? "1" : undefined }, false)}>
                <summary>Every value, as it leaves</summary>
                <div className="filters">
                  <label>
                    Of them
                    <select value={type} onChange={(e) => set({ type: e.target.value, offset: undefined })}>
                      <option value="">all</option>
                      {p.leaves.map((l) => (
                        <option key={`${l.type} ${l.form}`} value={l.type}>
                          {words(l.type.replaceAll("-", " "))}
                        </option>
                      ))}
                    </select>
                  </label>
                </div>
                <Table
                  label="Values that leave"
                  rows={p.items.map((item, i) => ({ ...item, i }))}
                  id={(x) => x.i}
                  columns={[
                    { head: "What", cell: (x) => (x.type === "account" ? "account, a running number" : words(x.type.replaceAll("-", " "))) },
                    { head: "Value", cell: (x) => <code>{x.value}</code> },
                  ]}
                />
                <Pager total={p.items_total} offset={offset} limit={LIMIT} go={(o) => set({ offset: o ? String(o) : undefined })} />
              </details>
            </>
          )}
          <h3>What stays</h3>
          <Table
            label="What stays"
            rows={p.stays}
            id={(s) => `${s.type} ${s.rule} ${s.why}`}
            columns={[
              { head: "What", cell: (s) => words(s.type.replaceAll("-", " ")) },
              { head: "Values", number: true, cell: (s) => number(s.count) },
              { head: "Rule", cell: (s) => RULES[s.rule] ?? s.rule },
              { head: "Why", cell: (s) => s.why },
            ]}
          />
          <p className="soft">Prompts, responses, prices, limits, volumes by customer and who customers are always stay: nothing that leaves has a place for them.</p>
          {p.leaves.length > 0 && (
            <p>
              <button type="button" className="primary" onClick={() => setProposing(true)}>
                Propose to share this
              </button>
            </p>
          )}
          {proposing && <Propose campaign={campaign} name={one.data?.name ?? campaign} suspected={suspected} audience={audience} close={() => setProposing(false)} done={done} />}
        </>
      )}
    </Show>
  );
}

// Nothing that left can be fetched back; whoever has it can be told that it no longer holds.
function TakeBack({ of, close, done }: { of: Export; close: () => void; done: () => void }) {
  const [note, setNote] = useState("");
  const say = useSay();
  return (
    <Dialog
      title={`Take back ${of.campaign_name}, shared with: ${of.audience}`}
      submit="Propose it"
      danger
      onClose={close}
      onSubmit={async () => {
        await post("/api/v1/sharing/exports/{id}/revoke", { id: of.id }, { note });
        done();
        say({ text: `A revocation of ${of.campaign_name} is proposed. Another person has to approve it before it leaves.` });
      }}
    >
      <p>What was downloaded cannot be fetched back. A revocation tells whoever had it that nothing of it holds any longer; once another person approved it, download it and send it the way the first went.</p>
      <Field label="Why">{(id) => <input id={id} required maxLength={1000} value={note} onChange={(e) => setNote(e.target.value)} />}</Field>
    </Dialog>
  );
}

export function Sides() {
  const [path] = useLocation();
  return (
    <nav className="tabs" aria-label="Sharing">
      {[["/sharing", "Out"], ["/sharing/in", "In"]].map(([to, name]) => (
        <Link key={to} href={to!} aria-current={path === to ? "page" : undefined}>
          {name}
        </Link>
      ))}
    </nav>
  );
}

export function Sharing({ me }: { me: Schemas["Me"] }) {
  const [url, set] = useUrl();
  const campaign = url.get("campaign") ?? "";
  const audience = AUDIENCES.find((a) => a === url.get("audience")) ?? "provider";
  const accused = useGet("/api/v1/campaigns", {}, { verdict: "distillation", sort: "exchanges", order: "desc", limit: 200 });
  const suspected = useGet("/api/v1/campaigns", {}, { verdict: "unresolved", sort: "exchanges", order: "desc", limit: 200 });
  const list = useGet("/api/v1/sharing/exports", {}, {}, 30_000);
  const [step, setStep] = useState<{ row: Export; what: "approve" | "reject" }>();
  const [back, setBack] = useState<Export>();
  const mine = step?.row.proposed_by === me.person;
  const say = useSay();
  const download = async (row: Export) => {
    try {
      await take("/api/v1/sharing/exports/{id}/file", { id: row.id }, `stillwatch-${row.campaign_name}-${row.audience}.stix.json`);
    } catch (problem) {
      say({ text: (problem as Error).message });
    }
  };
  return (
    <Page title="Sharing">
      <Sides />
      <p className="soft">What leaves is read first, value by value, and two persons answer for it.</p>
      <div className="filters">
        <label>
          Campaign
          <select value={campaign} onChange={(e) => set({ campaign: e.target.value, type: undefined, offset: undefined })}>
            <option value="">choose…</option>
            {([["Judged a distillation", accused], ["Suspicions (unresolved)", suspected]] as const).map(
              ([label, found]) =>
                !!found.data?.rows.length && (
                  <optgroup key={label} label={label}>
                    {found.data.rows.map((c) => (
                      <option key={c.id} value={c.id}>
                        {c.name}, {number(c.exchanges)} exchanges
                      </option>
                    ))}
                  </optgroup>
                ),
            )}
          </select>
        </label>
        <label>
          For
          <select value={audience} onChange={(e) => set({ audience: e.target.value, type: undefined, offset: undefined })}>
            {AUDIENCES.map((a) => (
              <option key={a} value={a}>
                {{ provider: "another provider", cloud: "a cloud", government: "a government", public: "the public" }[a]}
              </option>
            ))}
          </select>
        </label>
      </div>
      {campaign ? <Preview key={`${campaign} ${audience}`} campaign={campaign} audience={audience} done={list.again} /> : <p className="soft">Choose a campaign to read what would leave of it. Reading changes nothing.</p>}
      <h2>Exports</h2>
      <Show of={list} empty={(d) => d.total === 0 && <p>Nothing was ever proposed, and nothing has left.</p>}>
        {(d) => (
          <Table
            label="Exports"
            rows={d.rows}
            id={(x) => x.id}
            columns={[
              { head: "Campaign", cell: (x) => (x.kind === "campaign" ? <Link href={`/campaigns/${encodeURIComponent(x.campaign_id)}`}>{x.campaign_name}</Link> : x.campaign_name) },
              { head: "What", cell: (x) => ({ campaign: "a campaign", bundle: "a bundle of a scan", comparison: "a private comparison" })[x.kind] },
              { head: "For", cell: (x) => x.audience },
              { head: "As", cell: (x) => x.issuer },
              { head: "Status", cell: (x) => <b>{x.status}</b> },
              { head: "Values", number: true, cell: (x) => number(x.summary.leaves.reduce((n, l) => n + l.count, 0)) },
              { head: "Proposed", cell: (x) => `${x.proposed_by}, ${minute(x.proposed_at)}: ${x.note}` },
              { head: "Decided", cell: (x) => (x.decided_at ? `${x.decided_by}, ${minute(x.decided_at)}` : x.proposed_by === me.person ? "waits for a second person" : "waits") },
              {
                head: "Do",
                cell: (x) => (
                  <span className="actions">
                    {x.status === "proposed" && me.roles.includes("approver") && x.proposed_by !== me.person && (
                      <button type="button" onClick={() => setStep({ row: x, what: "approve" })}>
                        Approve
                      </button>
                    )}
                    {x.status === "proposed" && (
                      <button type="button" onClick={() => setStep({ row: x, what: "reject" })}>
                        {x.proposed_by === me.person ? "Withdraw" : "Reject"}
                      </button>
                    )}
                    {x.status === "approved" && x.kind !== "comparison" && (
                      <button type="button" onClick={() => void download(x)}>
                        Download
                      </button>
                    )}
                    {x.status === "approved" && x.kind !== "comparison" && x.summary.leaves.length > 0 && (
                      <button type="button" onClick={() => setBack(x)}>
                        Take back
                      </button>
                    )}
                  </span>
                ),
              },
            ]}
          />
        )}
      </Show>
      {back && <TakeBack of={back} close={() => setBack(undefined)} done={list.again} />}
      {step && (
        <Dialog
          title={`${step.what === "approve" ? "Approve" : mine ? "Withdraw" : "Reject"} sharing ${step.row.campaign_name} with: ${step.row.audience}`}
          submit={step.what === "approve" ? "Approve it" : mine ? "Withdraw it" : "Reject it"}
          onClose={() => setStep(undefined)}
          onSubmit={async () => {
            await post(`/api/v1/sharing/exports/{id}/${step.what}`, { id: step.row.id }, { revision: step.row.revision });
            list.again();
            say({ text: `${step.row.campaign_name}: ${step.what === "approve" ? "approved, and can be downloaded" : mine ? "withdrawn" : "rejected"}.` });
          }}
        >
          <p>
            {step.row.summary.leaves.map((l) => `${number(l.count)} ${l.type.replaceAll("-", " ")}`).join(", ") || (step.row.kind === "bundle" ? "That what was shared before no longer holds" : "Nothing")} would leave, as {step.row.issuer}. <Link href={`/sharing?campaign=${encodeURIComponent(step.row.campaign_id)}&audience=${step.row.audience}`}>Every value</Link>
          </p>
          <p className="soft">
            {step.row.proposed_by}: {step.row.note}
          </p>
        </Dialog>
      )}
    </Page>
  );
}
