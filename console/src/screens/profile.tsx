// What the lake says of an account, in parts that its page and the comparison share.
import { Link, useLocation } from "wouter";
import type { Schemas } from "../api";
import { useGet } from "../hooks";
import { minute, number } from "../text";
import { Figure, Show } from "../ui";
import { FIELDS, holdersUrl, LOOKED_UP } from "./holders";

export type Profile = Schemas["Profile"];
const ORDER = ["model", "channel", ...LOOKED_UP];

export function Hours({ of }: { of: Profile }) {
  const top = Math.max(1, ...of.hours);
  const most = of.hours.indexOf(Math.max(...of.hours));
  return (
    <figure className="hours">
      <svg viewBox="0 0 24 10" preserveAspectRatio="none" role="img" aria-label={`Exchanges by hour of the day, UTC; most at ${most}:00, ${number(of.hours[most] ?? 0)}`}>
        {of.hours.map((n, h) => (
          <rect key={h} className="m0" x={h + 0.1} width={0.8} y={10 - (10 * n) / top} height={(10 * n) / top}>
            <title>{`${h}:00: ${number(n)}`}</title>
          </rect>
        ))}
      </svg>
      <div className="axis">
        <span>0:00</span>
        <span>12:00</span>
        <span>24:00 UTC</span>
      </div>
    </figure>
  );
}

export function Values({ of }: { of: Profile }) {
  const fields = [...of.fields].sort((a, b) => ORDER.indexOf(a.field) - ORDER.indexOf(b.field));
  if (fields.length === 0) return <p className="soft">The lake holds nothing of it.</p>;
  return (
    <dl className="values">
      {fields.map((f) => (
        <div key={f.field}>
          <dt>{FIELDS[f.field] ?? f.field}</dt>
          <dd>
            <ul>
              {f.values.map((v) => (
                <li key={v.value}>
                  {LOOKED_UP.includes(f.field) ? (
                    <Link href={holdersUrl(f.field, v.value)}>
                      <code>{v.value}</code>
                    </Link>
                  ) : (
                    <code>{v.value}</code>
                  )}{" "}
                  {v.exchanges > 0 && <span className="soft">{number(v.exchanges)}</span>}
                </li>
              ))}
              {f.total > f.values.length && <li className="soft">and {number(f.total - f.values.length)} more</li>}
            </ul>
          </dd>
        </div>
      ))}
    </dl>
  );
}

export function Templates({ of }: { of: Profile }) {
  if (of.templates.length === 0) return <p className="soft">{of.sampled ? "None of those of its campaigns." : "Nothing to compare: no text, or no campaign."}</p>;
  return (
    <ul>
      {of.templates.map((t) => (
        <li key={t.id}>
          <code>{t.id}</code> <span className="soft">{number(t.exchanges)} of {number(of.sampled)} exchanges looked at</span>
        </li>
      ))}
    </ul>
  );
}

export function ProfileOf({ id }: { id: string }) {
  const [, navigate] = useLocation();
  const profile = useGet("/api/v1/accounts/{id}/profile", { id });
  return (
    <>
      <Show of={profile}>
        {(p) => (
          <>
            <div className="figures">
              <Figure value={number(p.exchanges)} label="exchanges in the lake" />
              <Figure value={number(p.input_tokens)} label="input tokens" />
              <Figure value={number(p.output_tokens)} label="output tokens" />
              <Figure value={minute(p.first_seen)} label="first seen, UTC" />
              <Figure value={minute(p.last_seen)} label="last seen, UTC" />
            </div>
            {p.as_of && <p className="soft">As of {minute(p.as_of)} UTC.</p>}
            <h2>Hours</h2>
            <Hours of={p} />
            <h2>What it uses and registered with</h2>
            <Values of={p} />
            <h2>Templates</h2>
            <Templates of={p} />
          </>
        )}
      </Show>
      <form
        className="filters"
        onSubmit={(e) => {
          e.preventDefault();
          navigate(`/compare?${new URLSearchParams({ a: id, b: String(new FormData(e.currentTarget).get("b")).trim() })}`);
        }}
      >
        <label>
          Compare with the account
          <input name="b" required />
        </label>
        <button type="submit">Compare</button>
      </form>
    </>
  );
}
