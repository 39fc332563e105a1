// Two accounts side by side, and what links them.
import type { ReactNode } from "react";
import { Link } from "wouter";
import type { Schemas } from "../api";
import { useGet, useUrl } from "../hooks";
import { minute, number, percent } from "../text";
import { AccountLink, Page, Show, Table, Verdict } from "../ui";
import { FIELDS, holdersUrl } from "./holders";
import { Hours, Templates, Values, type Profile } from "./profile";

function Links({ of: d }: { of: Schemas["Comparison"] }) {
  const said: ReactNode[] = [];
  for (const c of d.campaigns) {
    said.push(
      <>
        Both are in the campaign <Link href={`/campaigns/${encodeURIComponent(c.id)}`}>{c.name}</Link> <Verdict value={c.verdict} />
        {c.same_pool && (
          <>
            {" "}
            and there in one pool, <code>{c.pool_id}</code>
          </>
        )}
        .
      </>,
    );
  }
  for (const t of d.templates) {
    said.push(
      <>
        Both work from the template <code>{t}</code>.
      </>,
    );
  }
  const rare = d.shared.filter((s) => s.bits >= 5).length;
  if (rare > 0) said.push(`They share ${rare === 1 ? "a value" : `${rare} values`} that at most one account in 32 has.`);
  if (d.spans_together > 0) said.push(`In ${number(d.spans_together)} spans of five minutes both asked; their hours alone would make it about ${d.spans_expected < 10 ? d.spans_expected.toFixed(1) : number(Math.round(d.spans_expected))}.`);
  if (d.models.length > 0) said.push(`Both used ${d.models.slice(0, 5).join(", ")}, as others do.`);
  if (said.length === 0) return <p>Nothing that is kept links them.</p>;
  return (
    <ul>
      {said.map((s, i) => (
        <li key={i}>{s}</li>
      ))}
    </ul>
  );
}

function Side({ of: p }: { of: Profile }) {
  return (
    <section>
      <h2>
        <AccountLink id={p.account_id} />
      </h2>
      <table className="plain">
        <tbody>
          {(
            [
              ["Exchanges", number(p.exchanges)],
              ["Input tokens", number(p.input_tokens)],
              ["Output tokens", number(p.output_tokens)],
              ["First seen", minute(p.first_seen)],
              ["Last seen", minute(p.last_seen)],
              ...p.record.filter((r) => ["created_at", "plan", "kyc"].includes(r.field)).map((r) => [r.field.replaceAll("_", " "), r.field === "created_at" ? minute(r.value) : r.value]),
            ] as [string, string][]
          ).map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{value}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <h3>Campaigns</h3>
      {p.campaigns.length === 0 ? (
        <p>In none: nothing is held against it.</p>
      ) : (
        p.campaigns.map((c) => (
          <p key={c.id}>
            <Link href={`/campaigns/${encodeURIComponent(c.id)}`}>{c.name}</Link>, itself <Verdict value={c.own_verdict} /> {percent(c.own_probability)}. <span className="soft">{c.why}</span>
          </p>
        ))
      )}
      <h3>Hours</h3>
      <Hours of={p} />
      <h3>Templates</h3>
      <Templates of={p} />
      <h3>What it uses and registered with</h3>
      <Values of={p} />
    </section>
  );
}

function Found({ a, b }: { a: string; b: string }) {
  const both = useGet("/api/v1/compare", {}, { a, b });
  return (
    <Show of={both}>
      {(d) => (
        <>
          <h2>What links them</h2>
          <Links of={d} />
          <p>Of the hours in which they work, {percent(d.hours_overlap)} are the same.</p>
          <h2>Values that both have</h2>
          {d.shared.length === 0 ? (
            <p>None.</p>
          ) : (
            <Table
              label="Values that both have"
              rows={d.shared}
              id={(s) => `${s.field} ${s.value}`}
              columns={[
                { head: "Field", cell: (s) => FIELDS[s.field] ?? s.field },
                {
                  head: "Value",
                  cell: (s) => (
                    <Link href={holdersUrl(s.field, s.value)}>
                      <code>{s.value}</code>
                    </Link>
                  ),
                },
                { head: "First", number: true, cell: (s) => (s.a_exchanges ? number(s.a_exchanges) : "") },
                { head: "Second", number: true, cell: (s) => (s.b_exchanges ? number(s.b_exchanges) : "") },
                { head: "Accounts with it", number: true, cell: (s) => number(s.holders) },
                { head: "Bits", number: true, cell: (s) => s.bits.toFixed(1) },
              ]}
            />
          )}
          <p className="soft">Bits: how much likelier two accounts of one operator share it than two strangers, log2 of {number(d.accounts)} accounts in the lake over those that have it. Values of one kind do not add up.</p>
          <div className="columns">
            <Side of={d.a} />
            <Side of={d.b} />
          </div>
        </>
      )}
    </Show>
  );
}

export function Compare() {
  const [url, set] = useUrl();
  const a = url.get("a") ?? "";
  const b = url.get("b") ?? "";
  return (
    <Page title={a && b ? `${a} and ${b}` : "Compare two accounts"}>
      <form
        className="filters"
        onSubmit={(e) => {
          e.preventDefault();
          const form = new FormData(e.currentTarget);
          set({ a: String(form.get("a")).trim(), b: String(form.get("b")).trim() });
        }}
      >
        <label>
          First account
          <input name="a" required key={`a${a}`} defaultValue={a} />
        </label>
        <label>
          Second account
          <input name="b" required key={`b${b}`} defaultValue={b} />
        </label>
        <button type="submit">Compare</button>
      </form>
      {a && b && <Found a={a} b={b} />}
    </Page>
  );
}
