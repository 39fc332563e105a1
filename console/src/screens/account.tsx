import { Link } from "wouter";
import { useGet } from "../hooks";
import { minute, number, percent, words } from "../text";
import { Page, Show, Table, Verdict } from "../ui";
import { ProfileOf } from "./profile";

export function Account({ id }: { id: string }) {
  const account = useGet("/api/v1/accounts/{id}", { id });
  return (
    <Page title={id}>
      <Show of={account}>
        {(a) => (
          <>
            <h2>Campaigns</h2>
            {a.campaigns.length === 0 ? (
              <p>It is in no campaign: nothing is held against it.</p>
            ) : (
              <Table
                label="Campaigns"
                rows={a.campaigns}
                id={(c) => c.id}
                columns={[
                  { head: "Campaign", cell: (c) => <Link href={`/campaigns/${encodeURIComponent(c.id)}`}>{c.name}</Link> },
                  { head: "Verdict", cell: (c) => <Verdict value={c.verdict} /> },
                  { head: "Prob.", number: true, cell: (c) => percent(c.probability) },
                  { head: "Accounts", number: true, cell: (c) => number(c.accounts) },
                  { head: "Mainly", cell: (c) => words(c.capability) },
                ]}
              />
            )}
            <p className="soft">A campaign's verdict is not the account's: its own stands among the campaign's members.</p>
            <ProfileOf key={id} id={id} />
            <h2>Appeals</h2>
            {a.appeals.length === 0 ? (
              <p>None.</p>
            ) : (
              <Table
                label="Appeals"
                rows={a.appeals}
                id={(x) => x.ref}
                columns={[
                  { head: "Reference", cell: (x) => <Link href={`/appeals?ref=${encodeURIComponent(x.ref)}`}>{x.ref}</Link> },
                  { head: "Status", cell: (x) => x.status },
                  { head: "Opened", cell: (x) => minute(x.opened_at) },
                  { head: "Reason", cell: (x) => x.reason },
                ]}
              />
            )}
            <h2>Verified about it</h2>
            {a.attestations.length === 0 ? (
              <p>Nothing.</p>
            ) : (
              <Table
                label="Attestations"
                rows={a.attestations}
                id={(x) => x.kind}
                columns={[
                  { head: "What", cell: (x) => x.kind },
                  { head: "Value", cell: (x) => x.value },
                  { head: "Until", cell: (x) => (x.valid_until ? minute(x.valid_until) : "no end") },
                  { head: "Source", cell: (x) => x.source },
                ]}
              />
            )}
            <p className="soft">These serve directives alone; finding and judging never read them.</p>
          </>
        )}
      </Show>
    </Page>
  );
}
