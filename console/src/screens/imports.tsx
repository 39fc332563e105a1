// What others shared: who they are, how far each is to be believed, whether they were right here, and
// what they said. An import raises a suspicion and accuses nobody.
import { useState } from "react";
import { Link } from "wouter";
import { post, type Schemas } from "../api";
import { useGet, useUrl } from "../hooks";
import { day, minute, number, percent, words } from "../text";
import { Dialog, Field, Page, Pager, Show, Table, useSay } from "../ui";
import { Sides } from "./sharing";

const LIMIT = 50;
type Source = Schemas["ImportSource"];
type Indicator = Schemas["ImportedIndicator"];

// The Admiralty scale (docs/SHARING.md, "What imports do").
export const RELIABILITY: Record<string, string> = {
  A: "completely reliable",
  B: "usually reliable",
  C: "fairly reliable",
  D: "not usually reliable",
  E: "unreliable",
  F: "cannot be judged",
};
const CREDIBILITY = ["", "confirmed", "probably true", "possibly true", "doubtful", "improbable", "cannot be judged"];
const STATUS = ["active", "waiting", "expired", "revoked"];
export const TYPES = ["template-sketch", "rhythm", "settings", "network", "tls-fingerprint", "client", "signature", "address", "payment", "mail-domain", "referrer", "account-id", "account", "capability", "campaign-figures", "attribution"];
const ACTING = ["template-sketch", "rhythm", "payment", "address", "mail-domain", "referrer"]; // the others are kept and shown
const AT_ONCE = "Within a second decisions no longer rest on it, and a pass without it begins. It is for good: the same indicator, sent again, stays revoked.";

export const Grade = ({ grade }: { grade: string }) => (
  <abbr className="badge" title={`the source: ${RELIABILITY[grade[0]!]}${grade[1] ? `; what it says: ${CREDIBILITY[Number(grade[1])]}` : ""}`}>
    {grade}
  </abbr>
);

function GradeIt({ source, close, done }: { source: Source; close: () => void; done: () => void }) {
  const [reliability, setReliability] = useState(source.reliability);
  const [note, setNote] = useState("");
  const say = useSay();
  const set = (to: Source["reliability"], why: string) => post("/api/v1/sharing/sources/{name}", { name: source.name }, { reliability: to, note: why });
  return (
    <Dialog
      title={`How reliable is ${source.name}?`}
      submit="Grade it"
      onClose={close}
      onSubmit={async () => {
        await set(reliability, note);
        done();
        say({
          text: `${source.name} is graded ${reliability}. The next pass weighs what it said by that.`,
          undo: async () => {
            await set(source.reliability, source.note);
            done();
          },
        });
      }}
    >
      <Field label="Reliability" hint={`Here it was right ${number(source.right)} times and wrong ${number(source.wrong)} times.`}>
        {(id) => (
          <select id={id} value={reliability} onChange={(e) => setReliability(e.target.value as Source["reliability"])}>
            {Object.entries(RELIABILITY).map(([letter, meaning]) => (
              <option key={letter} value={letter}>
                {letter}: {meaning}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label="Why" hint="For colleagues; it goes into the audit log.">
        {(id) => <textarea id={id} rows={3} required maxLength={1000} value={note} onChange={(e) => setNote(e.target.value)} />}
      </Field>
    </Dialog>
  );
}

function Revoke({ source, id, what, close, done }: { source: string; id?: string; what: string; close: () => void; done: () => void }) {
  const say = useSay();
  return (
    <Dialog
      title={`Stop acting on ${what}?`}
      submit="Revoke"
      danger
      onClose={close}
      onSubmit={async () => {
        const { revoked } = await post("/api/v1/sharing/sources/{name}/revoke", { name: source }, id ? { id } : {});
        done();
        say({ text: `${number(revoked)} ${revoked === 1 ? "indicator" : "indicators"} of ${source} revoked.` });
      }}
    >
      <p>{AT_ONCE}</p>
    </Dialog>
  );
}

// What reviewers said of the campaigns here that it matched.
function Right({ source: s }: { source: Source }) {
  const judged = s.right + s.wrong;
  if (judged === 0) return <span className="soft">{s.campaigns === 0 ? "nothing matched" : "none judged yet"}</span>;
  return (
    <>
      <b>{percent(s.right / judged)}</b> <span className="soft one">{`${number(s.right)} of ${number(judged)}`}</span>
    </>
  );
}

const statusOf = (i: Indicator, now = Date.now()) =>
  i.revoked_at ? "revoked" : i.valid_from && Date.parse(i.valid_from) > now ? "waiting" : i.valid_until && Date.parse(i.valid_until) <= now ? "expired" : "active";

// What others saw in their own traffic, of what we told them or what they tell us.
function Sightings() {
  const [url, set] = useUrl();
  const offset = Number(url.get("seen")) || 0;
  const source = url.get("source") ?? undefined;
  const list = useGet("/api/v1/sharing/sightings", {}, { source, offset, limit: LIMIT }, 60_000);
  if (!list.data?.total) return null;
  return (
    <>
      <h2>Sightings</h2>
      <Table
        label="Sightings"
        rows={list.data.rows}
        id={(s) => `${s.source} ${s.id}`}
        columns={[
          { head: "Source", cell: (s) => <b>{s.source}</b> },
          { head: "Saw", cell: (s) => <code>{s.of}</code> },
          { head: "Exchanges", number: true, cell: (s) => (s.exchanges ? number(s.exchanges) : "") },
          { head: "First seen", cell: (s) => minute(s.first_seen) },
          { head: "Last seen", cell: (s) => minute(s.last_seen) },
          { head: "Told", cell: (s) => minute(s.imported_at) },
        ]}
      />
      <Pager total={list.data.total} offset={offset} limit={LIMIT} go={(o) => set({ seen: o ? String(o) : undefined })} />
    </>
  );
}

export function Imports() {
  const [url, set] = useUrl();
  const of = Number(url.get("sources")) || 0;
  const offset = Number(url.get("offset")) || 0;
  const sources = useGet("/api/v1/sharing/sources", {}, { offset: of, limit: LIMIT }, 60_000);
  const query = Object.fromEntries(["source", "type", "status", "campaign"].map((k) => [k, url.get(k) ?? undefined]));
  const list = useGet("/api/v1/sharing/imports", {}, { ...query, offset, limit: LIMIT }, 60_000);
  const [grading, setGrading] = useState<Source>();
  const [revoking, setRevoking] = useState<{ source: string; id?: string; what: string }>();
  const filter = (change: Record<string, string | undefined>) => set({ ...change, offset: undefined });
  const again = () => {
    sources.again();
    list.again();
  };
  const choice = (name: string, label: string, values: readonly string[]) => (
    <label>
      {label}
      <select value={url.get(name) ?? ""} onChange={(e) => filter({ [name]: e.target.value })}>
        <option value="">any</option>
        {[...new Set([...values, ...(url.get(name) ? [url.get(name)!] : [])])].map((v) => (
          <option key={v} value={v}>
            {name === "type" ? words(v.replaceAll("-", " ")) : v}
          </option>
        ))}
      </select>
    </label>
  );
  const filtered = Object.values(query).some(Boolean);
  return (
    <Page title="Sharing">
      <Sides />
      <p className="soft">What others say raises a suspicion, by as much as its source is believed. It accuses nobody: two families of evidence have to be our own.</p>
      <h2>Sources</h2>
      <Show of={sources} empty={(d) => d.total === 0 && <p>Nobody has shared anything with us yet. Bundles come in by <code>stillwatch share import</code> and <code>stillwatch share pull</code>.</p>}>
        {(d) => (
          <>
            <Table
              label="Sources"
              rows={d.rows}
              id={(s) => s.name}
              columns={[
                {
                  head: "Source",
                  cell: (s) => (
                    <Link href={`/sharing/in?source=${encodeURIComponent(s.name)}`}>
                      <b>{s.name}</b>
                    </Link>
                  ),
                },
                {
                  head: "Reliability",
                  cell: (s) => (
                    <>
                      <b>{s.reliability}</b> {RELIABILITY[s.reliability]}
                      <br />
                      <span className="soft">{s.graded_by ? `${s.graded_by}, ${day(s.graded_at)}${s.note ? `: ${s.note}` : ""}` : "nobody has graded it yet"}</span>
                    </>
                  ),
                },
                { head: "Indicators", number: true, cell: (s) => number(s.indicators) },
                { head: "Active", number: true, cell: (s) => number(s.active) },
                { head: "Campaigns", number: true, cell: (s) => number(s.campaigns) },
                { head: "Right here", cell: (s) => <Right source={s} /> },
                { head: "Last import", cell: (s) => <time dateTime={s.last_import ?? undefined}>{minute(s.last_import)}</time> },
                {
                  head: "Do",
                  cell: (s) => (
                    <span className="actions">
                      <button type="button" aria-label={`Grade ${s.name}`} onClick={() => setGrading(s)}>
                        Grade
                      </button>
                      {s.revoked < s.indicators && (
                        <button type="button" aria-label={`Revoke all of ${s.name}`} onClick={() => setRevoking({ source: s.name, what: `all that ${s.name} said` })}>
                          Revoke all
                        </button>
                      )}
                    </span>
                  ),
                },
              ]}
            />
            <Pager total={d.total} offset={of} limit={LIMIT} go={(o) => set({ sources: o ? String(o) : undefined })} />
          </>
        )}
      </Show>
      <h2>Indicators</h2>
      <div className="filters">
        {choice("source", "Source", (sources.data?.rows ?? []).map((s) => s.name))}
        {choice("type", "Type", TYPES)}
        {choice("status", "Status", STATUS)}
        {url.get("campaign") && (
          <button type="button" onClick={() => filter({ campaign: undefined })}>
            Of one campaign of theirs: show all
          </button>
        )}
      </div>
      <Show of={list} empty={(d) => d.total === 0 && <p>{filtered ? "No indicator fits these filters." : "No indicator was imported yet."}</p>}>
        {(d) => (
          <>
            <Table
              label="Indicators"
              rows={d.rows}
              id={(i) => `${i.source} ${i.id}`}
              columns={[
                {
                  head: "Value",
                  cell: (i) => (
                    <>
                      <code className="clip" title={i.value}>
                        {i.value}
                      </code>
                      {i.blinded && <span className="soft"> blinded</span>}
                      <details>
                        <summary>more</summary>
                        imported {minute(i.imported_at)} by {i.imported_by}
                        <br />
                        <code>{i.id}</code>
                        {i.campaign && (
                          <>
                            {" of "}
                            <Link href={`/sharing/in?campaign=${encodeURIComponent(i.campaign)}`}>
                              <code>{i.campaign}</code>
                            </Link>
                          </>
                        )}
                      </details>
                    </>
                  ),
                },
                { head: "Type", cell: (i) => words(i.type.replaceAll("-", " ")) },
                {
                  head: "Source",
                  cell: (i) => (
                    <>
                      {i.source} <Grade grade={`${i.reliability}${i.credibility}`} />
                      {i.tlp && <span className="soft"> TLP:{i.tlp.toUpperCase().replace(/^TLP:/, "")}</span>}
                    </>
                  ),
                },
                {
                  head: "Status",
                  cell: (i) => (
                    <>
                      <b>{statusOf(i)}</b>{" "}
                      <span className="one">{i.revoked_at ? `${day(i.revoked_at)} by ${i.revoked_by}` : i.valid_until ? `until ${day(i.valid_until)}` : "without end"}</span>
                      {!ACTING.includes(i.type) && <div className="soft one">for reading only</div>}
                    </>
                  ),
                },
                { head: "Matches", number: true, cell: (i) => number(i.hits) },
                {
                  head: "Do",
                  cell: (i) =>
                    !i.revoked_at && (
                      <button type="button" aria-label={`Revoke ${i.id}`} onClick={() => setRevoking({ source: i.source, id: i.id, what: `this ${words(i.type.replaceAll("-", " "))} of ${i.source}` })}>
                        Revoke
                      </button>
                    ),
                },
              ]}
            />
            <Pager keys total={d.total} offset={offset} limit={LIMIT} go={(o) => set({ offset: o ? String(o) : undefined })} />
          </>
        )}
      </Show>
      <Sightings />
      {grading && <GradeIt source={grading} close={() => setGrading(undefined)} done={again} />}
      {revoking && <Revoke {...revoking} close={() => setRevoking(undefined)} done={again} />}
    </Page>
  );
}
