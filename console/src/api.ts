// The service's own API, typed by its description (docs/openapi.yaml -> schema.d.ts).
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Campaign = Schemas["CampaignRow"];

// The object of campaigns.json, as far as screens read it.
export interface Finding {
  summary: string;
  would_change: string;
  verdicts: Record<string, number>;
  models: Record<string, number>;
  capabilities: Record<string, number>;
  pools: { id: string; accounts: number }[];
  templates: { id: string; exchanges: number }[];
  evidence: { family: string; bits: number; statement: string; null: string; query: string; exchanges: string[] }[];
  attribution: { actor: string; probability: number; basis: string }[];
  timeline: { day: string; exchanges: number; accounts: number; models: Record<string, number> }[];
  pivots: { ts: string; statement: string }[];
  infrastructure: { class: string; asn: number; organisation: string; addresses: number; exchanges: number }[];
  queries: Record<string, string>;
  open?: boolean;
  gate_bits_short?: number;
  imports?: { id: string; campaign: string; origin: string; type: string; grade: string; accounts: number; exchanges: number }[];
  rests_on_imports?: boolean; // the accusation would not stand without them
  dismissed?: boolean; // it repeats what a person dismissed
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const KEY = "stillwatch.token";
export const token = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value: string) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

type Query = Record<string, string | number | undefined>;

async function ask(method: string, path: string, query: Query = {}, body?: unknown, signal?: AbortSignal): Promise<string> {
  const url = new URL(path, location.origin);
  for (const [key, value] of Object.entries(query)) if (value !== undefined && value !== "") url.searchParams.set(key, String(value));
  const headers: Record<string, string> = { accept: "application/json" };
  if (token.get()) headers.authorization = `Bearer ${token.get()}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(url, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "The service does not answer. Is it running, and is this page still connected to it?");
  }
  const text = await response.text();
  if (!response.ok) {
    let message = text.slice(0, 300) || response.statusText;
    try {
      message = (JSON.parse(text) as Schemas["Error"]).error.message;
    } catch {
      // Not ours: a proxy's page. Its first words are shown as they are.
    }
    const error = new ApiError(response.status, message);
    // The frame asks for another token; where the person was stays in the address.
    if (response.status === 401) dispatchEvent(new CustomEvent("stillwatch-401", { detail: error }));
    throw error;
  }
  return text;
}

async function call(...what: Parameters<typeof ask>): Promise<unknown> {
  const text = await ask(...what);
  return text === "" ? null : JSON.parse(text);
}

// What a GET of this path gives.
export type Got<P extends keyof paths> = paths[P] extends { get: { responses: { 200: { content: { "application/json": infer R } } } } } ? R : never;
export type GetPath = { [P in keyof paths]: Got<P> extends never ? never : P }[keyof paths];

// "/api/v1/campaigns/{id}" and {id: "x/y"} -> "/api/v1/campaigns/x%2Fy".
const fill = (path: string, params: Record<string, string | number>) =>
  path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(params[name])));

export function get<P extends GetPath>(path: P, params: Record<string, string | number> = {}, query: Query = {}, signal?: AbortSignal): Promise<Got<P>> {
  return call("GET", fill(path, params), query, undefined, signal) as Promise<Got<P>>;
}

// What a POST to this path takes and gives: a wrong body does not compile.
type Body<P extends keyof paths> = paths[P] extends { post: { requestBody: { content: { "application/json": infer B } } } } ? B : undefined;
type Posted<P extends keyof paths> = paths[P] extends { post: { responses: infer R } }
  ? R extends { 200: { content: { "application/json": infer T } } } | { 201: { content: { "application/json": infer T } } }
    ? T
    : unknown
  : never;
export type PostPath = { [P in keyof paths]: paths[P] extends { post: object } ? P : never }[keyof paths];

export function post<P extends PostPath>(path: P, params: Record<string, string | number>, body: Body<P>, signal?: AbortSignal): Promise<Posted<P>> {
  return call("POST", fill(path, params), {}, body, signal) as Promise<Posted<P>>;
}

// Fetches a file with the token, byte for byte, and hands it to the browser to keep.
export async function take<P extends keyof paths>(path: P, params: Record<string, string | number>, name: string): Promise<void> {
  const bytes = await ask("GET", fill(path, params));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], { type: "application/json" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
