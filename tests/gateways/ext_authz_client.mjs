// Puts requests to ext_authz as Envoy would. Usage: ext_authz_client.mjs HOST:PORT PROTO; CheckRequests
// as one JSON array on standard input (bytes as strings), prints the answers.
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const [address, proto] = process.argv.slice(2);
const api = grpc.loadPackageDefinition(loader.loadSync(proto, {keepCase: true, oneofs: true, enums: String, longs: Number}));
const client = new api.envoy.service.auth.v3.Authorization(address, grpc.credentials.createInsecure());
const ask = (request, token) => new Promise((resolve) => {
  const metadata = new grpc.Metadata();
  if (token) metadata.set("authorization", `Bearer ${token}`);
  client.Check(request, metadata, {deadline: Date.now() + 20_000}, (error, reply) => {
    if (error) return resolve({code: error.code, details: error.details});
    const text = (options) => Object.fromEntries((options ?? []).map((o) => [o.header.key, o.header.value.toString()]));
    resolve({
      status: reply.status.code ?? 0,
      denied: reply.denied_response && {status: reply.denied_response.status.code, headers: text(reply.denied_response.headers),
                                        body: reply.denied_response.body},
      ok: reply.ok_response && {headers: text(reply.ok_response.headers), remove: reply.ok_response.headers_to_remove},
    });
  });
});
const bytes = (o) => {  // proto-loader takes bytes as Buffers
  if (typeof o === "string") return Buffer.from(o);
  return Object.fromEntries(Object.entries(o).map(([k, v]) => [k, bytes(v)]));
};
let input = "";
for await (const part of process.stdin) input += part;
const results = [];
for (const {token, ...request} of JSON.parse(input)) results.push(await ask({attributes: bytes(request)}, token));
console.log(JSON.stringify(results));
client.close();
