// All accounts that have a value, in whatever campaign or none.
import { Link } from "wouter";
import { useGet, useUrl } from "../hooks";
import { minute, number } from "../text";
import { AccountLink, Page, Pager, Show, Table, Verdict } from "../ui";

export const FIELDS: Record<string, string> = {
  client_ip: "address",
  ja4: "TLS client (JA4)",
  user_agent: "user agent",
  api_key_id: "API key",
  org_id: "organisation",
  signup_ip: "address at sign-up",
  email_domain: "mail domain",
  payment_id: "payment",
  referrer: "referrer",
  template: "template",
  model: "model",
  channel: "channel",
};
export const LOOKED_UP = ["client_ip", "ja4", "user_agent", "api_key_id", "org_id", "signup_ip", "email_domain", "payment_id", "referrer"];

export function holdersUrl(field: string, value: string, campaign?: string): string {
  const of = new URLSearchParams({ field, value });
  if (campaign) of.set("campaign", campaign);
  return `/holders?${of}`;
}

const LIMIT = 50;

function Found({ field, value, campaign, offset, go }: { field: string; value: string; campaign?: string; offset: number; go: (offset: number) => void }) {
  const list = useGet("/api/v1/holders", {}, { field, value, campaign, offset, limit: LIMIT });
  return (
    <Show of={list} empty={(d) => d.total === 0 && <p>No account of the lake has it.</p>}>
      {(d) => (
        <>
          {d.cut && <p className="soft">More than {number(d.total)} accounts have it: these used it most. What so many have says nothing about any of them.</p>}
          <Table
            label="Accounts"
            rows={d.rows}
            id={(a) => a.account_id}
            columns={[
              { head: "Account", cell: (a) => <AccountLink id={a.account_id} /> },
              { head: "Exchanges", number: true, cell: (a) => (a.exchanges ? number(a.exchanges) : "") },
              { head: "First with it", cell: (a) => (a.first_seen ? minute(a.first_seen) : "") },
              { head: "Last with it", cell: (a) => (a.last_seen ? minute(a.last_seen) : "") },
              {
                head: "Campaigns",
                cell: (a) =>
                  a.campaigns.length === 0 ? (
                    <span className="soft">none</span>
                  ) : (
                    a.campaigns.map((c) => (
                      <span key={c.id} className="nowrap">
                        <Link href={`/campaigns/${encodeURIComponent(c.id)}`}>{c.name}</Link> <Verdict value={c.verdict} />{" "}
                      </span>
                    ))
                  ),
              },
            ]}
          />
          <Pager keys total={d.total} offset={offset} limit={LIMIT} go={go} />
          {d.as_of && <p className="soft">As of {minute(d.as_of)} UTC.</p>}
        </>
      )}
    </Show>
  );
}

export function Holders() {
  const [url, set] = useUrl();
  const field = url.get("field") ?? "client_ip";
  const value = url.get("value") ?? "";
  const offset = Number(url.get("offset")) || 0;
  return (
    <Page title={value ? `${FIELDS[field] ?? field}: ${value}` : "Who has a value"}>
      <form
        className="filters"
        role="search"
        onSubmit={(e) => {
          e.preventDefault();
          const form = new FormData(e.currentTarget);
          set({ field: String(form.get("field")), value: String(form.get("value")).trim(), campaign: undefined, offset: undefined });
        }}
      >
        <label>
          Field
          <select name="field" key={field} defaultValue={field}>
            {[...LOOKED_UP, ...(field === "template" ? ["template"] : [])].map((f) => (
              <option key={f} value={f}>
                {FIELDS[f]}
              </option>
            ))}
          </select>
        </label>
        <label>
          Value
          <input name="value" type="search" required key={value} defaultValue={value} />
        </label>
        <button type="submit">Find</button>
      </form>
      {value && <Found field={field} value={value} campaign={url.get("campaign") ?? undefined} offset={offset} go={(o) => set({ offset: o ? String(o) : undefined })} />}
    </Page>
  );
}
