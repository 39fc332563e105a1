// Numbers and times for people.
const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
export const number = (n: number) => whole.format(n);
export const compact = (n: number) => short.format(n);
// Not all is 100 %, not even nearly all.
export const percent = (share: number) => `${(share < 1 ? Math.min(99.9, Math.round(share * 1000) / 10) : 100 * share).toFixed(1)} %`;
// "536.9 MB", of 1000 bytes a step.
export const bytes = (n: number) => (n < 1000 ? `${n} B` : short.format(n).replace(/([\d.]+)([KMBT])/, (_, v: string, s: string) => `${v} ${{ K: "k", M: "M", B: "G", T: "T" }[s]}B`));
// "1 segment", "2 segments".
export const many = (n: number, what: string) => `${number(n)} ${what}${n === 1 ? "" : "s"}`;
export const words = (name: string) => name.replaceAll("_", " ");

// "2026-04-22 00:01" in UTC, as everywhere in the product.
export const minute = (time: string | null | undefined) => (time ? time.slice(0, 16).replace("T", " ") : "never");
export const day = (time: string | null | undefined) => (time ? time.slice(0, 10) : "never");

// "199 d": for columns.
export function age(time: string | null | undefined, now = Date.now()): string {
  if (!time) return "–";
  const s = Math.max(0, (now - Date.parse(time)) / 1000);
  return s >= 86400 ? `${Math.floor(s / 86400)} d` : s >= 3600 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 60)} min`;
}

export function ago(time: string | null | undefined, now = Date.now()): string {
  if (!time) return "never";
  const s = Math.max(0, (now - Date.parse(time)) / 1000);
  for (const [size, name] of [[86400, "day"], [3600, "hour"], [60, "minute"]] as const) {
    const n = Math.floor(s / size);
    if (n >= 1) return `${n} ${name}${n === 1 ? "" : "s"} ago`;
  }
  return "just now";
}

// ICD 203: a word for the probability, never both in one sentence with a confidence.
export function likelihood(p: number): string {
  if (p < 0.05) return "almost no chance";
  if (p < 0.2) return "very unlikely";
  if (p < 0.45) return "unlikely";
  if (p <= 0.55) return "roughly even";
  if (p <= 0.8) return "likely";
  if (p <= 0.95) return "very likely";
  return "almost certain";
}
