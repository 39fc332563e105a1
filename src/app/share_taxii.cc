// share push, pull and collection: indicators to and from other instances over TAXII 2.1, and what
// ours serves to whom.
#include <simdjson.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>

#include "app/command.h"
#include "app/config.h"
#include "app/files.h"
#include "app/indicators.h"
#include "app/share.h"
#include "app/share_answer.h"
#include "app/state_dir.h"
#include "base/json.h"
#include "base/str.h"
#include "base/write_file.h"
#include "share/collections/store.h"
#include "share/stix/read.h"
#include "share/taxii/client.h"

namespace stillwatch::app {
namespace {

using base::StrCat;

constexpr size_t kBundleBytes = share::stix::ReadLimits().bytes;
// "For named persons alone": TLP 2.0's and TLP 1's marking, the same in every bundle.
constexpr std::string_view kRed[] = {"marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
                                     "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"};

struct Peer {
  std::string url, collection, user, token_file, ca, certificate, key;
};

absl::StatusOr<std::unique_ptr<share::TaxiiClient>> Reach(const Peer& peer) {
  share::TaxiiClientOptions o;
  o.url = peer.url;
  o.user = peer.user;
  o.ca_file = peer.ca;
  o.certificate = peer.certificate;
  o.key = peer.key;
  o.stop = &g_stop;
  o.note = SayNote;
  const bool env = std::getenv("STILLWATCH_PEER_TOKEN") != nullptr;
  if (!peer.token_file.empty() || env) {
    auto secret = ReadSecret(
        peer.token_file.empty() ? Secret{"STILLWATCH_PEER_TOKEN", {}} : Secret{{}, peer.token_file},
        1);
    if (!secret.ok()) return secret.status();
    o.secret = *std::move(secret);
  }
  return share::TaxiiClient::Create(std::move(o));
}

absl::Status WriteWhole(const std::string& path, const std::string& bytes) {
  const int error = base::WriteFileDurably(path, bytes);
  if (error == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat(path, ": cannot be written: ", std::strerror(error)));
}

absl::Status Record(const LocalState& local, std::string action, std::string subject,
                    std::initializer_list<std::pair<const char*, std::string>> details) {
  audit::AuditRecord r;
  r.time_ms = NowMs();
  r.actor = local.actor;
  r.action = std::move(action);
  r.subject = std::move(subject);
  r.details.clear();
  base::JsonWriter w(&r.details);
  w.BeginObject();
  for (const auto& [key, value] : details) w.Key(key), w.String(value);
  w.EndObject();
  return local.audit->Append(std::move(r));
}

// --- push ---

struct PushArgs {
  Peer peer;
  Where where;
  std::vector<std::string> files;
  std::string alone;
};

// Red stays with the persons that it was told.
absl::Status NoneRed(const std::string& file, const std::vector<share::stix::Object>& objects) {
  simdjson::dom::parser parser;
  for (size_t i = 0; i < objects.size(); ++i) {
    simdjson::dom::element e;
    simdjson::dom::array refs;
    if (parser.parse(objects[i].json).get(e) || e["object_marking_refs"].get(refs)) continue;
    for (const auto ref : refs) {
      std::string_view id;
      if (ref.get(id)) continue;
      for (const std::string_view red : kRed) {
        if (id == red) {
          return absl::InvalidArgumentError(
              StrCat(file, ": /objects/", i,
                     ": is marked TLP:RED, which goes to named persons and into no collection; "
                     "nothing was sent"));
        }
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Push(const PushArgs& a) {
  // All is read and looked at before anything is sent.
  std::vector<share::stix::Bundle> bundles;
  std::vector<std::string> digests;
  for (const std::string& file : a.files) {
    auto text = ReadFile(file, kBundleBytes);
    if (!text.ok()) return text.status();
    auto bundle = share::stix::Read(*text);
    if (!bundle.ok()) {
      return absl::InvalidArgumentError(
          StrCat(file, ": ", std::string(bundle.status().message()), "; nothing was sent"));
    }
    if (absl::Status s = NoneRed(file, bundle->objects); !s.ok()) return s;
    bundles.push_back(*std::move(bundle));
    digests.push_back(state::ExportDigest({{"", *std::move(text)}}));
  }
  std::vector<std::string_view> objects;
  for (const auto& b : bundles) {
    for (const auto& o : b.objects) objects.push_back(o.json);
  }
  auto client = Reach(a.peer);
  if (!client.ok()) return client.status();
  auto local = OpenLocalState(a.where);
  if (!local.ok()) return local.status();
  auto to = (*client)->Find(a.peer.collection);
  if (!to.ok()) return to.status();
  if (!to->can_write)
    return absl::PermissionDeniedError(StrCat(to->url, ": this token may not add to it"));
  for (size_t i = 0; i < digests.size(); ++i)
    if (absl::Status s = Answered(&*local, "bundle", digests[i], a.files[i], a.alone); !s.ok())
      return s;
  if (absl::Status s =
          Record(*local, "share.push", to->url,
                 {{"collection", to->title}, {"objects", std::to_string(objects.size())}});
      !s.ok()) {
    return s;
  }
  auto pushed = (*client)->Push(*to, objects);
  if (!pushed.ok()) return pushed.status();
  std::printf("%llu of %llu objects are in %s (%s)\n",
              static_cast<unsigned long long>(pushed->success),
              static_cast<unsigned long long>(pushed->total), to->id.c_str(), to->title.c_str());
  for (const auto& f : pushed->failures)
    std::fprintf(stderr, "stillwatch: refused: %s: %s\n", f.id.c_str(), f.message.c_str());
  for (const auto& s : pushed->statuses)
    if (pushed->pending > 0) std::fprintf(stderr, "stillwatch: pending: %s\n", s.c_str());
  if (pushed->success + pushed->pending < pushed->total) {
    return absl::InvalidArgumentError(
        StrCat(a.peer.url, ": the peer refused ", pushed->total - pushed->success - pushed->pending,
               " of ", pushed->total, " objects; the others are there"));
  }
  return absl::OkStatus();
}

// --- pull ---

struct PullArgs {
  Peer peer;
  Where where;
  std::string out, after, source, issuer;
  std::vector<std::string> types;
};

absl::Status ListRemote(share::TaxiiClient& client) {
  auto all = client.Collections();
  if (!all.ok()) return all.status();
  std::printf("%-36s  %-4s  %-20s  %s\n", "id", "may", "alias", "title");
  for (const auto& c : *all) {
    std::printf("%-36s  %s%s    %-20s  %s\n", c.id.c_str(), c.can_read ? "r" : "-",
                c.can_write ? "w" : "-", c.alias.c_str(), c.title.c_str());
  }
  return absl::OkStatus();
}

std::string BundleOf(const std::vector<std::string>& objects) {
  std::string out =
      StrCat("{\"type\":\"bundle\",\"id\":\"bundle--", share::NewUuid(), "\",\"objects\":[");
  for (size_t i = 0; i < objects.size(); ++i)
    base::StrAppend(&out, i == 0 ? "\n" : ",\n", objects[i]);
  return out + "\n]}\n";
}

// What came into the state, all of it or nothing. Who speaks and under which marking may have come
// with an earlier pull: they are fetched again, so that the bundle is whole.
absl::Status Take(const PullArgs& a, share::TaxiiClient& client,
                  const share::RemoteCollection& from, const share::Pulled& pulled,
                  LocalState& local) {
  std::vector<std::string> objects = pulled.objects;
  share::PullOptions o;
  o.types = {"identity", "marking-definition"};
  auto known = client.Pull(from, o);
  if (!known.ok()) return known.status();
  const std::set<std::string_view> have(pulled.objects.begin(), pulled.objects.end());
  for (std::string& object : known->objects)
    if (!have.contains(object)) objects.push_back(std::move(object));
  share::stix::ReadLimits limits;
  limits.objects = 2 * share::kTaxiiPullObjects;
  limits.bytes = 2 * share::kTaxiiPullBytes + limits.objects * 2;
  auto rows = BundleRows(from.url, BundleOf(objects), limits);
  if (!rows.ok())
    return absl::InvalidArgumentError(
        StrCat(std::string(rows.status().message()),
               "; nothing was imported (--out FILE keeps what came, --type indicator takes less)"));
  const state::ImportMark mark{from.url, pulled.last_added};
  return TakeRows(local, a.source, a.issuer, *std::move(rows), &mark);
}

absl::Status Pull(const PullArgs& a) {
  auto client = Reach(a.peer);
  if (!client.ok()) return client.status();
  if (a.peer.collection.empty()) return ListRemote(**client);
  if (a.out.empty() && a.source.empty()) {
    return absl::InvalidArgumentError(
        "--source: name whom it comes from, to act on it, or --out the file that the bundle is "
        "written to");
  }
  LocalState local;
  if (!a.source.empty()) {
    auto opened = OpenLocalState(a.where);
    if (!opened.ok()) return opened.status();
    local = *std::move(opened);
  }
  auto from = (*client)->Find(a.peer.collection);
  if (!from.ok()) return from.status();
  share::PullOptions o;
  o.added_after = a.after;
  if (!a.source.empty() && a.after.empty()) {
    auto until = local.state->ImportedUntil(a.source, from->url);
    if (!until.ok()) return until.status();
    o.added_after = *std::move(until);
  }
  o.types = a.types;
  auto pulled = (*client)->Pull(*from, o);
  if (!pulled.ok()) return pulled.status();
  const bool none = pulled->objects.empty();
  if (!none && !a.out.empty())
    if (absl::Status s = WriteWhole(a.out, BundleOf(pulled->objects)); !s.ok()) return s;
  const std::string file = a.out.empty() ? "" : none ? "; no file was written" : " -> " + a.out;
  std::printf("%zu objects in %zu pages%s\n", pulled->objects.size(), pulled->pages, file.c_str());
  if (!a.source.empty()) return none ? absl::OkStatus() : Take(a, **client, *from, *pulled, local);
  if (!pulled->last_added.empty())
    std::printf("next time: --after %s\n", pulled->last_added.c_str());
  return absl::OkStatus();
}

// --- collection ---

struct CollectionArgs {
  Where where;
  std::string name, alias, description;
  std::vector<std::string> read, write, deny;
  bool add = false, remove = false;
};

absl::Status ListCollections(share::CollectionStore& store) {
  auto all = store.List();
  if (!all.ok()) return all.status();
  std::printf("%-36s  %-20s  %9s  %s\n", "id", "alias", "objects", "title");
  for (const auto& c : *all) {
    std::printf("%-36s  %-20s  %9llu  %s\n", c.id.c_str(), c.alias.c_str(),
                static_cast<unsigned long long>(c.objects), c.title.c_str());
    auto rights = store.Rights(c.id);
    if (!rights.ok()) return rights.status();
    for (const auto& r : *rights)
      std::printf("%38s%s%s  %s\n", "", r.read ? "r" : "-", r.write ? "w" : "-", r.subject.c_str());
  }
  return absl::OkStatus();
}

absl::Status ChangeCollection(const CollectionArgs& a) {
  auto local = OpenLocalState(a.where);
  if (!local.ok()) return local.status();
  auto data = DataDir(a.where.config, a.where.data);
  auto opened = share::CollectionStore::Open(
      {.dir = *data + "/share", .now_us = [] { return NowMs() * 1000; }});
  if (!opened.ok()) return opened.status();
  share::CollectionStore& store = **opened;
  const bool change = a.add || a.remove || !a.read.empty() || !a.write.empty() || !a.deny.empty();
  if (a.name.empty()) {
    if (change)
      return absl::InvalidArgumentError("name the collection: its id, alias or, with --add, title");
    return ListCollections(store);
  }
  share::Collection c;
  if (a.add) {
    if (absl::Status s = Record(*local, "taxii.collection.add", a.name, {{"alias", a.alias}});
        !s.ok())
      return s;
    auto made =
        store.Add({.id = {}, .alias = a.alias, .title = a.name, .description = a.description});
    if (!made.ok()) return made.status();
    c = *std::move(made);
    std::printf("%s\n", c.id.c_str());
  } else {
    auto found = store.Get(a.name);
    if (!found.ok()) {
      return absl::NotFoundError(StrCat(
          "no collection ", a.name, "; `stillwatch share collection` lists them, --add makes one"));
    }
    c = *std::move(found);
  }
  if (a.remove) {
    if (absl::Status s = Record(*local, "taxii.collection.remove", c.id, {{"title", c.title}});
        !s.ok())
      return s;
    if (absl::Status s = store.Remove(c.id); !s.ok()) return s;
    std::printf("removed %s (%s) and its %llu objects\n", c.id.c_str(), c.title.c_str(),
                static_cast<unsigned long long>(c.objects));
    return absl::OkStatus();
  }
  auto rights = store.Rights(c.id);
  if (!rights.ok()) return rights.status();
  std::map<std::string, share::Right> now;
  for (const auto& r : *rights) now[r.subject] = r;
  for (const auto& s : a.deny) now[s] = {s, false, false};
  for (const auto& s : a.read) now[s].subject = s, now[s].read = true;
  for (const auto& s : a.write) now[s].subject = s, now[s].write = true;
  for (const auto* list : {&a.deny, &a.read, &a.write}) {
    for (const auto& s : *list) {
      const share::Right& r = now[s];
      if (absl::Status recorded =
              Record(*local, "taxii.collection.right", c.id,
                     {{"subject", s}, {"may", StrCat(r.read ? "r" : "-", r.write ? "w" : "-")}});
          !recorded.ok()) {
        return recorded;
      }
      if (absl::Status set = store.SetRight(c.id, r); !set.ok()) return set;
    }
  }
  return absl::OkStatus();
}

}  // namespace

void AddShareTaxii(CLI::App* share, int* code) {
  const auto peer = [](CLI::App* s, Peer* p) {
    s->add_option("URL", p->url, "of a TAXII 2.1 server, https://HOST/taxii2/, or of an API root")
        ->required();
    s->add_option("--collection", p->collection, "there: its id, alias or title");
    s->add_option("--user", p->user, "for HTTP Basic; without it the secret is a bearer token");
    s->add_option("--token-file", p->token_file,
                  "file with the secret; default: the variable STILLWATCH_PEER_TOKEN");
    s->add_option("--ca", p->ca, "PEM: who vouches for the peer; default: the machine's own list");
    s->add_option("--cert", p->certificate, "PEM: our certificate, where the peer asks for one");
    s->add_option("--cert-key", p->key, "PEM: its key");
  };
  auto push_args = std::make_shared<PushArgs>();
  auto* push = share->add_subcommand("push", "add bundles to a collection of a TAXII 2.1 server");
  peer(push, &push_args->peer);
  push->get_option("--collection")->required();
  push->add_option("FILE", push_args->files, "STIX bundles")->required();
  AddAlone(push, &push_args->alone);
  AddPlace(push, &push_args->where);
  push->footer(
      "Example: stillwatch share push https://peer.example/taxii2/ --collection ours out.json");
  push->callback([=] { *code = Report(Push(*push_args)); });

  auto pull_args = std::make_shared<PullArgs>();
  auto* pull = share->add_subcommand(
      "pull", "take what was added to a collection of a TAXII 2.1 server; without one, list them");
  peer(pull, &pull_args->peer);
  pull->add_option("--out", pull_args->out, "the bundle that is written, whole or not at all");
  pull->add_option("--source", pull_args->source,
                   "whom it comes from, as you call them: into the service's folder it goes, and "
                   "the next time only what is new");
  pull->add_option("--issuer", pull_args->issuer, "of that only what this identity says");
  AddPlace(pull, &pull_args->where);
  pull->add_option("--after", pull_args->after,
                   "only what was added later, as the last pull said or the folder remembers");
  pull->add_option("--type", pull_args->types, "only objects of this STIX type; may be repeated");
  pull->footer(
      "Example: stillwatch share pull https://peer.example/taxii2/ --collection theirs "
      "--source northwind");
  pull->callback([=] { *code = Report(Pull(*pull_args)); });

  auto args = std::make_shared<CollectionArgs>();
  auto* collection = share->add_subcommand(
      "collection", "what this service offers over TAXII, and to whom; without a name, list it");
  collection->add_option("NAME", args->name, "id or alias; with --add, the title");
  collection->add_flag("--add", args->add, "make it");
  collection->add_option("--alias", args->alias, "of a new one: another name in URLs");
  collection->add_option("--description", args->description, "of a new one");
  collection->add_option(
      "--read", args->read,
      "who may read it: person:NAME, role:NAME or * (of tokens); may be repeated");
  collection->add_option("--write", args->write, "who may add to it; likewise");
  collection->add_option("--deny", args->deny, "who may neither any more; likewise");
  collection->add_flag("--remove", args->remove, "remove it with its objects");
  AddPlace(collection, &args->where);
  collection->footer(
      "Example: stillwatch share collection Peers --add --alias peers --read person:acme");
  collection->callback([=] { *code = Report(ChangeCollection(*args)); });
}

}  // namespace stillwatch::app
