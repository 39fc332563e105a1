// What a person says of a campaign: with a reason, always, and for a dismissal what it was instead.
import { useState } from "react";
import { post, type Campaign } from "../api";
import { useGet } from "../hooks";
import { words } from "../text";
import { Dialog, Field, useSay } from "../ui";

export type Word = "confirmed" | "dismissed" | "unsure";
export const WORDS: Record<string, Word> = { c: "confirmed", d: "dismissed", u: "unsure" };

const send = (id: string, body: Parameters<typeof post<"/api/v1/campaigns/{id}/disposition">>[2]) => post("/api/v1/campaigns/{id}/disposition", { id }, body);

export function Dispose({ campaign, word, close, done }: { campaign: Campaign; word: Word; close: () => void; done: () => void }) {
  const codes = useGet("/api/v1/codes");
  const [reason, setReason] = useState("");
  const [alike, setAlike] = useState("");
  const [note, setNote] = useState("");
  const say = useSay();
  const submit = async () => {
    const said = await send(campaign.id, { expected: campaign.disposition_revision, value: word, reason, ...(word === "dismissed" ? { look_alike: alike } : {}), note });
    done();
    say({
      text: `${campaign.name}: ${word}.`,
      undo: async () => {
        await send(campaign.id, { expected: said.revision, value: "withdrawn", reason, note: "undone" });
        done();
      },
    });
  };
  const verb = { confirmed: "Confirm", dismissed: "Dismiss", unsure: "Leave unsure" }[word];
  return (
    <Dialog title={`${verb} ${campaign.name}`} submit={verb} onClose={close} onSubmit={submit}>
      <Field label="Reason">
        {(id) => (
          <select id={id} required value={reason} onChange={(e) => setReason(e.target.value)}>
            <option value="">Choose…</option>
            {codes.data?.reasons.map((r) => (
              <option key={r} value={r}>
                {words(r)}
              </option>
            ))}
          </select>
        )}
      </Field>
      {word === "dismissed" && (
        <Field label="What it was instead" hint="A campaign like it is not raised again without new evidence.">
          {(id) => (
            <select id={id} required value={alike} onChange={(e) => setAlike(e.target.value)}>
              <option value="">Choose…</option>
              {codes.data?.look_alikes.map((r) => (
                <option key={r} value={r}>
                  {words(r)}
                </option>
              ))}
            </select>
          )}
        </Field>
      )}
      <Field label="Note" hint="For colleagues; it goes into the audit log.">
        {(id) => <textarea id={id} rows={3} value={note} onChange={(e) => setNote(e.target.value)} />}
      </Field>
    </Dialog>
  );
}
