// The official clients as a user runs them. Reads jobs as one JSON array on standard input:
//   {api: "openai" | "responses" | "anthropic", base, key, model, text, stream}
// and prints for each what the caller sees: {ok, text} or {error, status, code, type, message}, and how
// many requests went out.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

async function run(job) {
  let requests = 0;
  const counting = (...args) => { requests++; return fetch(...args); };
  const how = {apiKey: job.key, baseURL: job.base, fetch: counting, timeout: 20_000};
  const messages = [{role: "user", content: job.text ?? "hello"}];
  const model = job.model ?? "model-1";
  try {
    let text = "";
    if (job.api === "anthropic") {
      const client = new Anthropic(how);
      if (job.stream) {
        text = await client.messages.stream({model, max_tokens: 9, messages}).finalText();
      } else {
        text = (await client.messages.create({model, max_tokens: 9, messages})).content[0].text;
      }
    } else {
      const client = new OpenAI({...how, baseURL: job.base + "/v1"});
      if (job.stream) {
        for await (const chunk of await client.chat.completions.create({model, messages, stream: true})) {
          text += chunk.choices[0]?.delta?.content ?? "";
        }
      } else {
        text = (await client.chat.completions.create({model, messages})).choices[0].message.content;
      }
    }
    return {ok: true, text, requests};
  } catch (e) {
    return {ok: false, error: e.constructor.name, status: e.status, code: e.code ?? null, type: e.type ?? null,
            message: e.message, retry_after: e.headers?.get?.("retry-after") ?? null, requests};
  }
}

let input = "";
for await (const part of process.stdin) input += part;
const results = [];
for (const job of JSON.parse(input)) results.push(await run(job));
console.log(JSON.stringify(results));
