import { useState } from "react";
import { post, token, type Schemas } from "../api";
import { useGet } from "../hooks";
import { minute } from "../text";
import { Dialog, Field, Page, Show, Table, useSay } from "../ui";

type Role = Schemas["Token"]["roles"][number];
const ROLES: Role[] = ["ingest", "decide", "analyst", "approver", "admin", "share"];

export function Settings({ me }: { me: Schemas["Me"] }) {
  const admin = me.roles.includes("admin");
  return (
    <Page title="Settings">
      <p>
        You are <b>{me.person}</b>, with the roles {me.roles.join(", ") || "none"}.{" "}
        {token.get() && (
          <button
            type="button"
            onClick={() => {
              token.set("");
              location.assign("/");
            }}
          >
            Log out
          </button>
        )}
      </p>
      <h2>Tokens</h2>
      {admin ? <Tokens /> : <p className="soft">Tokens are an administrator's business.</p>}
    </Page>
  );
}

function Tokens() {
  const list = useGet("/api/v1/tokens");
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<Schemas["NewToken"]>();
  const [person, setPerson] = useState("");
  const [label, setLabel] = useState("");
  const [roles, setRoles] = useState<Role[]>([]);
  const say = useSay();
  return (
    <>
      <p className="soft">One token names one person or machine; the service keeps its hash alone.</p>
      <button type="button" onClick={() => setMaking(true)}>
        New token
      </button>
      {made && (
        <p className="problem">
          The token of {made.person}, shown this once: <code>{made.token}</code>
        </p>
      )}
      <Show of={list} empty={(d) => d.total === 0 && <p>No token: every process on this machine may do everything.</p>}>
        {(d) => (
          <Table
            label="Tokens"
            rows={d.rows}
            id={(t) => t.id}
            columns={[
              { head: "Person", cell: (t) => <b>{t.person}</b> },
              { head: "For", cell: (t) => t.label },
              { head: "Roles", cell: (t) => t.roles.join(", ") },
              { head: "Made", cell: (t) => `${t.created_by}, ${minute(t.created_at)}` },
              { head: "Ends", cell: (t) => (t.revoked_at ? `revoked ${minute(t.revoked_at)}` : t.expires_at ? minute(t.expires_at) : "no end") },
              {
                head: "Do",
                cell: (t) =>
                  !t.revoked_at && (
                    <button
                      type="button"
                      onClick={() =>
                        void post("/api/v1/tokens/{id}/revoke", { id: t.id }, undefined).then(
                          () => {
                            list.again();
                            say({ text: `A token of ${t.person} is revoked.` });
                          },
                          (error) => say({ text: (error as Error).message }),
                        )
                      }
                    >
                      Revoke
                    </button>
                  ),
              },
            ]}
          />
        )}
      </Show>
      {making && (
        <Dialog
          title="New token"
          submit="Make it"
          onClose={() => setMaking(false)}
          onSubmit={async () => {
            setMade(await post("/api/v1/tokens", {}, { person, label, roles }));
            list.again();
          }}
        >
          <Field label="Person">{(id) => <input id={id} required value={person} onChange={(e) => setPerson(e.target.value)} />}</Field>
          <Field label="What for">{(id) => <input id={id} value={label} onChange={(e) => setLabel(e.target.value)} />}</Field>
          <fieldset>
            <legend>Roles</legend>
            {ROLES.map((r) => (
              <label key={r} className="check">
                <input type="checkbox" checked={roles.includes(r)} onChange={(e) => setRoles(e.target.checked ? [...roles, r] : roles.filter((x) => x !== r))} />
                {r}
              </label>
            ))}
          </fieldset>
        </Dialog>
      )}
    </>
  );
}
