// Hunting: a person's own question to the lake, in SQL that can only read.
import { useEffect, useRef, useState } from "react";
import { Link } from "wouter";
import { get, post, type ApiError, type Schemas } from "../api";
import { useGet, useUrl } from "../hooks";
import { minute, number } from "../text";
import { AccountLink, Dialog, Field, Page, Pager, Show, Table, useSay } from "../ui";

const LIMIT = 50;
type Answer = Schemas["HuntAnswer"];
type Saved = Schemas["SavedQueries"]["rows"][number];

const STARTERS: { name: string; sql: string }[] = [
  { name: "Busiest accounts", sql: "SELECT account_id, count() AS exchanges, uniqExact(client_ip) AS addresses\nFROM exchanges\nGROUP BY account_id\nORDER BY exchanges DESC\nLIMIT 200" },
  { name: "Addresses that many accounts share", sql: "SELECT client_ip, uniqExact(account_id) AS accounts, count() AS exchanges\nFROM exchanges\nWHERE client_ip != ''\nGROUP BY client_ip\nHAVING accounts > 4\nORDER BY accounts DESC\nLIMIT 200" },
  { name: "Exchanges per day and model", sql: "SELECT toDate(toDateTime(intDiv(ts, 1000), 'UTC')) AS day, model, count() AS exchanges, uniqExact(account_id) AS accounts\nFROM exchanges\nGROUP BY day, model\nORDER BY day, exchanges DESC" },
  { name: "Mail domains of new accounts", sql: "SELECT email_domain, count() AS accounts\nFROM accounts\nGROUP BY email_domain\nORDER BY accounts DESC\nLIMIT 200" },
];

const wrong = (error: ApiError) =>
  error.status === 400 ? "This was not run." : error.status === 504 ? "Cancelled." : error.status === 507 ? "Ended." : error.status === 503 ? "No answer." : error.status === 401 ? "Your token is not known, or has expired." : error.status === 403 ? "Your token does not have the role for this." : "It failed.";

// A value as a link where we know what it names.
function Cell({ name, value }: { name: string; value: string | null }) {
  if (value === null) return <span className="soft">null</span>;
  if (name === "account_id" && value) return <AccountLink id={value} />;
  if (name === "campaign_id" && value) return <Link href={`/campaigns/${encodeURIComponent(value)}`}>{value}</Link>;
  return <span className="cell">{value}</span>;
}

const isNumber = (type: string) => /^(Nullable\()?(U?Int|Float|Decimal)/.test(type);

function Save({ sql, saved, close, done }: { sql: string; saved: Saved[]; close: () => void; done: () => void }) {
  const [name, setName] = useState("");
  const [note, setNote] = useState("");
  const say = useSay();
  const before = saved.find((q) => q.name === name);
  return (
    <Dialog
      title="Save this query"
      submit={before ? "Replace it" : "Save"}
      onClose={close}
      onSubmit={async () => {
        await post("/api/v1/hunt/queries/{name}", { name }, { expected: before?.revision ?? 0, sql, note });
        done();
        say({ text: `${name} is saved.` });
      }}
    >
      <Field label="Name" hint={before ? `There is one of that name, by ${before.person}; it would be replaced.` : "Everybody who hunts here sees it."}>
        {(id) => <input id={id} required maxLength={200} value={name} onChange={(e) => setName(e.target.value)} />}
      </Field>
      <Field label="What it shows">{(id) => <input id={id} maxLength={1000} value={note} onChange={(e) => setNote(e.target.value)} />}</Field>
    </Dialog>
  );
}

function Schema() {
  const schema = useGet("/api/v1/hunt/schema");
  return (
    <section>
      <h2>Tables</h2>
      <Show of={schema} empty={(d) => d.tables.length === 0 && <p>The lake holds no table.</p>}>
        {(d) =>
          d.tables.map((t) => (
            <details key={t.name}>
              <summary>
                <code>{t.name}</code> <span className="soft">{t.columns.length} columns</span>
              </summary>
              <table className="plain">
                <tbody>
                  {t.columns.map((c) => (
                    <tr key={c.name}>
                      <th scope="row">
                        <code>{c.name}</code>
                      </th>
                      <td className="soft">{c.type}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </details>
          ))
        }
      </Show>
      <p className="soft">Times are milliseconds since 1970, UTC. Prompts and answers are not kept: only what was counted in them.</p>
    </section>
  );
}

export function Hunt() {
  const [url, set] = useUrl();
  const saved = useGet("/api/v1/hunt/queries");
  const field = useRef<HTMLTextAreaElement>(null);
  const [sql, setSql] = useState(url.get("q") ?? STARTERS[0]!.sql);
  const [answer, setAnswer] = useState<Answer>();
  const [error, setError] = useState<ApiError>();
  const [busy, setBusy] = useState(false);
  const [saving, setSaving] = useState(false);
  const stop = useRef<AbortController>(undefined);
  const say = useSay();
  const offset = Number(url.get("offset")) || 0;

  const run = async () => {
    if (busy || !sql.trim()) return;
    setBusy(true);
    setError(undefined);
    setAnswer(undefined);
    set({ q: sql, offset: undefined });
    stop.current = new AbortController();
    try {
      setAnswer(await post("/api/v1/hunt", {}, { sql }, stop.current.signal));
    } catch (problem) {
      if (!stop.current.signal.aborted) setError(problem as ApiError);
    } finally {
      setBusy(false);
    }
  };
  // A further page of the same answer.
  const id = answer?.id;
  useEffect(() => {
    if (!id || !answer || answer.offset === offset) return;
    get("/api/v1/hunt/answers/{id}", { id }, { offset, limit: LIMIT }).then(setAnswer, (problem) => setError(problem as ApiError));
  }, [id, offset]);
  const take = (text: string) => {
    setSql(text);
    setAnswer(undefined);
    setError(undefined);
    set({ q: text, offset: undefined });
    field.current?.focus();
  };
  const remove = async (q: Saved) => {
    const put = (expected: number, text: string) => post("/api/v1/hunt/queries/{name}", { name: q.name }, { expected, sql: text, note: q.note });
    try {
      await put(q.revision, "");
      say({ text: `${q.name} is removed.`, undo: async () => void (await put(0, q.sql), saved.again()) });
    } catch (problem) {
      say({ text: (problem as Error).message });
    }
    saved.again();
  };
  return (
    <Page title="Hunt">
      <div className="hunt">
        <div>
          <form
            onSubmit={(e) => {
              e.preventDefault();
              void run();
            }}
          >
            <label htmlFor="sql">A SELECT over the lake's tables</label>
            <textarea
              ref={field}
              id="sql"
              className="code"
              rows={10}
              spellCheck={false}
              value={sql}
              onChange={(e) => setSql(e.target.value)}
              onKeyDown={(e) => {
                if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) {
                  e.preventDefault();
                  void run();
                }
              }}
            />
            <div className="actions">
              <button type="submit" className="primary" disabled={busy}>
                Run <kbd>Ctrl Enter</kbd>
              </button>
              {busy && (
                <button type="button" onClick={() => stop.current?.abort()}>
                  Stop waiting
                </button>
              )}
              <button type="button" disabled={!sql.trim()} onClick={() => setSaving(true)}>
                Save…
              </button>
            </div>
            <p className="soft">It reads and never writes, for 20 seconds at most. What you ask is in the audit log under your name.</p>
          </form>
          <div role="status" aria-busy={busy || undefined}>
            {busy && <p className="soft">Asking the lake…</p>}
            {answer && (
              <p className={answer.cut ? "warn" : "soft"}>
                {answer.cut ? `The answer has more rows than are kept: these are the first ${number(answer.total)}. Count or group in the query, or give it a LIMIT.` : `${number(answer.total)} ${answer.total === 1 ? "row" : "rows"}`}, {number(answer.milliseconds)} ms
              </p>
            )}
          </div>
          {error && (
            <div className="problem" role="alert">
              <strong>{wrong(error)}</strong>
              <p>{error.message}</p>
            </div>
          )}
          {answer && answer.total === 0 && (
            <div className="empty">
              <p>Nothing fits.</p>
            </div>
          )}
          {answer && answer.total > 0 && (
            <>
              <Table
                label="Answer"
                rows={answer.rows.map((cells, i) => ({ cells, i: answer.offset + i }))}
                id={(r) => r.i}
                columns={answer.names.map((name, k) => ({
                  head: name,
                  key: k,
                  number: isNumber(answer.types[k] ?? ""),
                  cell: (r: { cells: (string | null)[] }) => <Cell name={name} value={r.cells[k] ?? null} />,
                }))}
              />
              <Pager keys total={answer.total} offset={offset} limit={LIMIT} go={(o) => set({ offset: o ? String(o) : undefined })} />
            </>
          )}
        </div>
        <aside aria-label="Queries and tables">
          <section>
            <h2>Saved queries</h2>
            <Show of={saved} empty={(d) => d.total === 0 && <p>None yet: save what is worth asking again.</p>}>
              {(d) => (
                <ul className="queries">
                  {d.rows.map((q) => (
                    <li key={q.name}>
                      <button type="button" className="link" onClick={() => take(q.sql)}>
                        {q.name}
                      </button>
                      <span className="soft">
                        {q.note && `${q.note}; `}
                        {q.person}, {minute(q.at)}
                      </span>
                      <button type="button" className="link" aria-label={`Remove ${q.name}`} onClick={() => void remove(q)}>
                        Remove
                      </button>
                    </li>
                  ))}
                </ul>
              )}
            </Show>
            <h3>To begin with</h3>
            <ul className="queries">
              {STARTERS.map((q) => (
                <li key={q.name}>
                  <button type="button" className="link" onClick={() => take(q.sql)}>
                    {q.name}
                  </button>
                </li>
              ))}
            </ul>
          </section>
          <Schema />
        </aside>
      </div>
      {saving && <Save sql={sql} saved={saved.data?.rows ?? []} close={() => setSaving(false)} done={saved.again} />}
    </Page>
  );
}
