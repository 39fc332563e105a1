#include "serve/api/explore.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <set>
#include <tuple>
#include <unordered_map>

#include "lookup/lookup.h"
#include "serve/api/json.h"
#include "serve/api/tsv.h"

namespace stillwatch::serve::api {
namespace {

using base::StrCat;
using graph::Kind;
using lake::SqlString;
using lookup::Field;
using lookup::FieldName;
using lookup::FieldOf;
using state::State;
using Row = std::vector<std::string>;

// Fields whose values link accounts or are worth looking up. Never country or citizenship.
constexpr const char* kExchangeFields[] = {"client_ip", "ja4", "user_agent", "api_key_id",
                                           "org_id"};
constexpr const char* kAccountFields[] = {"signup_ip", "email_domain", "payment_id", "referrer"};

bool Among(const std::string& field, std::span<const char* const> fields) {
  return std::find(fields.begin(), fields.end(), field) != fields.end();
}

HttpReply Fail(const absl::Status& s) {
  const std::string text(s.message().data(), s.message().size());
  switch (s.code()) {
    case absl::StatusCode::kInvalidArgument:
      return ErrorReply(400, text);
    case absl::StatusCode::kNotFound:
      return ErrorReply(404, text);
    case absl::StatusCode::kDeadlineExceeded:
      return ErrorReply(504, StrCat("the lake took longer than ", kExploreSeconds,
                                    " s over this and was told to stop"));
    case absl::StatusCode::kResourceExhausted:
      return ErrorReply(507, "the lake needed more memory for this than a question may have");
    default: {
      HttpReply r = ErrorReply(
          503, absl::IsUnavailable(s)
                   ? "The lake does not answer at the moment, and this is read from it. Campaigns "
                     "and decisions do not need it. Try again in a minute."
                   : text);
      r.headers.emplace_back("Retry-After", "5");
      return r;
    }
  }
}

uint64_t Number(const std::string& text) {
  uint64_t v = 0;
  std::from_chars(text.data(), text.data() + text.size(), v);
  return v;
}

// Screens need no more than that of a place.
double Short(double v) { return std::round(v * 1e6) / 1e6; }

}  // namespace

struct Explore::Template {
  std::string id;
  std::vector<uint32_t> hashes;
};

struct Explore::Held {
  std::string campaign, name, finding;
  int64_t revision = 0, as_of_ms = 0, made_ms = 0;
  bool whole = true;  // else what could not be read is in `notes`, and it is tried again soon
  std::vector<std::string> notes;
  std::unique_ptr<graph::Network> network;
  struct About {
    std::string verdict;
    double probability = 0;
    uint64_t exchanges = 0;
  };
  std::vector<About> about;       // of each node; empty but for accounts
  std::vector<uint32_t> accused;  // accounts below each node
};

struct Explore::Slot {
  std::mutex mutex;  // held while it is made: who else wants it waits
  std::shared_ptr<const Held> held;
};

struct Explore::Facts {
  struct Value {
    std::string value;
    uint64_t exchanges = 0;
  };
  std::string id;
  uint64_t exchanges = 0, input_tokens = 0, output_tokens = 0;
  int64_t first_ms = 0, last_ms = 0;
  std::array<uint64_t, 24> hours{};
  std::map<std::string, std::vector<Value>> of;  // field -> values, most used first
  std::map<std::string, uint64_t> beyond;        // field -> values that are not in `of`
  std::map<std::string, std::string> record;     // what the account's record says
  std::map<std::string, uint64_t> templates;     // id -> of the sampled exchanges
  uint64_t sampled = 0;                          // exchanges that were compared with them
  int64_t as_of_ms = 0;
  std::vector<state::Campaign> campaigns;
  std::map<std::string, state::CampaignMember> membership;  // campaign -> its own
};

struct Explore::Having {
  std::string field, value, campaign;
  int64_t ms = 0, as_of_ms = 0;
  bool cut = false;
  struct Account {
    std::string id;
    uint64_t exchanges = 0;
    int64_t first_ms = 0, last_ms = 0;
  };
  std::vector<Account> accounts;
};

absl::StatusOr<std::vector<Row>> Explore::Ask(const std::string& sql, int seconds,
                                              size_t rows) const {
  if (!c_.report) return absl::UnavailableError("there is no lake");
  lake::ReportBounds bounds;
  bounds.seconds = seconds;
  bounds.rows = rows;
  bounds.bytes = 128 << 20;
  bounds.cut = true;
  bounds.wait = false;
  auto text = c_.report(sql, "TabSeparated", bounds);
  if (!text.ok()) return text.status();
  std::vector<Row> out;
  std::string_view left = *text;
  while (!left.empty()) {
    const size_t end = std::min(left.find('\n'), left.size());
    const std::string_view line = left.substr(0, end);
    left.remove_prefix(std::min(end + 1, left.size()));
    Row& row = out.emplace_back();
    EachCell(line, [&](std::string_view cell) { row.push_back(Unescaped(cell)); });
  }
  return out;
}

std::vector<Explore::Template> Explore::TemplatesOf(const std::string& finding) {
  std::vector<Template> out;
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  simdjson::dom::array templates;
  if (parser.parse(finding).get(root) != simdjson::SUCCESS ||
      root["templates"].get(templates) != simdjson::SUCCESS)
    return out;
  size_t hashes = 0;
  for (const simdjson::dom::element t : templates) {
    std::string_view id;
    simdjson::dom::array all;
    if (out.size() == kTemplatesMax || t["id"].get(id) != simdjson::SUCCESS ||
        t["hashes"].get(all) != simdjson::SUCCESS)
      continue;
    Template& one = out.emplace_back();
    one.id = id;
    for (const simdjson::dom::element h : all) {
      uint64_t v = 0;
      if (hashes < kTemplateHashes && h.get(v) == simdjson::SUCCESS) {
        one.hashes.push_back(static_cast<uint32_t>(v));
        ++hashes;
      }
    }
    std::sort(one.hashes.begin(), one.hashes.end());
    one.hashes.erase(std::unique(one.hashes.begin(), one.hashes.end()), one.hashes.end());
  }
  return out;
}

namespace {

// What is asked of an exchange's sketch: its hashes, "[1,2]".
constexpr char kHashes[] = "toString(arrayConcat(system_sketch, turn_sketch))";

// The template of which an exchange has most hashes, at least a third; -1: none.
struct Matcher {
  std::unordered_map<uint32_t, std::vector<uint32_t>> of;  // each hash: templates that have it
  std::vector<size_t> size;                                // of each template

  template <typename Templates>
  explicit Matcher(const Templates& templates) {
    for (uint32_t i = 0; const auto& t : templates) {
      size.push_back(t.hashes.size());
      for (const uint32_t h : t.hashes) of[h].push_back(i);
      ++i;
    }
  }
  int Of(std::string_view hashes) const {
    std::vector<uint32_t> all;
    for (const char *at = hashes.data(), *end = at + hashes.size(); at < end;) {
      uint32_t h = 0;
      const auto [next, error] = std::from_chars(at, end, h);
      if (error == std::errc()) all.push_back(h);
      at = std::max(next, at + 1);
    }
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    std::vector<size_t> n(size.size());
    for (const uint32_t h : all)
      if (const auto it = of.find(h); it != of.end())
        for (const uint32_t t : it->second) ++n[t];
    int best = -1;
    for (size_t t = 0; t < n.size(); ++t)
      if (n[t] * 3 >= size[t] && n[t] > 0 && (best < 0 || n[t] > n[size_t(best)])) best = int(t);
    return best;
  }
};

}  // namespace

struct Explore::Found {
  std::unordered_map<std::string_view, uint32_t> number;  // of members
  std::map<std::pair<std::string, std::string>, std::vector<uint32_t>> values;
  std::vector<std::pair<std::string, std::vector<uint32_t>>> templates;
  bool whole = true;
  std::vector<std::string> notes;

  // What could not be read leaves a note, and the rest is shown.
  void Missed(std::string_view what, const absl::Status& s) {
    whole = false;
    notes.push_back(StrCat(
        what, absl::IsUnavailable(s) ? " are not shown: the lake does not answer at the moment"
              : absl::IsDeadlineExceeded(s)
                  ? StrCat(" are not shown: the lake took longer than ", kNetworkSeconds, " s")
                  : StrCat(" are not shown: ",
                           std::string_view(s.message().data(), s.message().size()))));
  }
  static std::string Attributed(const state::Campaign& campaign) {
    return StrCat("SELECT account_id FROM attributed WHERE campaign_id = ",
                  SqlString(campaign.finding_id), " GROUP BY account_id");
  }
};

void Explore::FindIndex(const lookup::Lookup& index, Found* found) {
  struct Pair {
    Field field;
    uint32_t value, member;
  };
  uint32_t fields = 0;
  for (const char* name : kExchangeFields) fields |= lookup::Lookup::Bit(*FieldOf(name));
  for (const char* name : kAccountFields) fields |= lookup::Lookup::Bit(*FieldOf(name));
  std::vector<Pair> pairs;
  for (const auto& [id, m] : found->number) {
    const auto account = index.FindAccount(id);
    if (!account) continue;
    const lookup::Account a = index.Read(*account, fields);
    for (size_t f = 0; f < lookup::kFields; ++f) {
      // What one account has alone, as most addresses, links nobody.
      for (const lookup::Use& u : a.uses[f])
        if (index.HolderCount(Field(f), u.value) > 1) pairs.push_back({Field(f), u.value, m});
    }
  }
  std::sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) {
    return std::tie(a.field, a.value, a.member) < std::tie(b.field, b.value, b.member);
  });
  for (size_t i = 0; i < pairs.size();) {
    size_t end = i + 1;
    while (end < pairs.size() && pairs[end].field == pairs[i].field &&
           pairs[end].value == pairs[i].value)
      ++end;
    if (end - i > 1) {
      auto& holders = found->values[{FieldName(pairs[i].field),
                                     std::string(index.Value(pairs[i].field, pairs[i].value))}];
      for (size_t k = i; k < end; ++k) holders.push_back(pairs[k].member);
    }
    i = end;
  }
}

void Explore::FindLake(const state::Campaign& campaign, Found* found) const {
  const std::string of = Found::Attributed(campaign);
  auto& values = found->values;
  const auto& number = found->number;
  for (const char* field : kExchangeFields) {
    // First by hashes, which are small: a campaign may have millions of addresses, few of them
    // shared.
    const std::string some =
        StrCat("FROM exchanges WHERE account_id GLOBAL IN (", of, ") AND ", field, " != ''");
    const std::string shared =
        StrCat("SELECT cityHash64(", field, ") AS h ", some,
               " GROUP BY h HAVING min(cityHash64(account_id)) != max(cityHash64(account_id))");
    auto rows =
        Ask(StrCat("SELECT v, account_id FROM (SELECT ", field, " AS v, account_id ", some,
                   " AND cityHash64(", field, ") GLOBAL IN (", shared, ") AND ", field,
                   " GLOBAL IN (SELECT ", field, " AS w ", some, " AND cityHash64(", field,
                   ") GLOBAL IN (", shared, ") GROUP BY w HAVING uniq(account_id) <= ", kHoldersMax,
                   ") GROUP BY v, account_id) ORDER BY v, account_id LIMIT ", graph::kLinksMax),
            kNetworkSeconds, graph::kLinksMax);
    if (!rows.ok()) {
      found->Missed(StrCat("Values of ", field), rows.status());
      if (absl::IsUnavailable(rows.status())) break;
      continue;
    }
    for (const Row& row : *rows) {
      const auto a = row.size() == 2 ? number.find(row[1]) : number.end();
      if (a != number.end()) values[{field, row[0]}].push_back(a->second);
    }
  }
  if (found->whole) {
    auto rows =
        Ask(StrCat("SELECT account_id, argMin(signup_ip, content), argMin(email_domain, content), "
                   "argMin(payment_id, content), argMin(referrer, content) FROM accounts WHERE "
                   "account_id GLOBAL IN (",
                   of, ") GROUP BY account_id ORDER BY account_id"),
            kNetworkSeconds, kMembersRead);
    if (!rows.ok()) found->Missed("What accounts registered with", rows.status());
    if (rows.ok()) {
      for (const Row& row : *rows) {
        const auto a = number.find(row[0]);
        if (a == number.end() || row.size() != 5) continue;
        for (size_t f = 0; f < 4; ++f)
          if (!row[f + 1].empty()) values[{kAccountFields[f], row[f + 1]}].push_back(a->second);
      }
    }
  }
}

void Explore::FindTemplates(const state::Campaign& campaign, const lookup::Lookup* index,
                            Found* found) const {
  std::vector<Template> templates = TemplatesOf(campaign.json);
  if (index != nullptr) {
    std::erase_if(templates, [&](const Template& t) {
      const auto known = index->FindTemplate(t.id);
      if (!known) return false;
      std::vector<uint32_t> holders;
      for (const lookup::Holder& h : index->TemplateHolders(*known))
        if (const auto m = found->number.find(index->AccountId(h.account));
            m != found->number.end())
          holders.push_back(m->second);
      if (!holders.empty()) found->templates.emplace_back(t.id, std::move(holders));
      return true;
    });
  }
  // What an earlier pass found and the last one did not.
  if (found->whole && !templates.empty()) {
    const Matcher matcher(templates);
    // No more rows than an account's few matter, so of many a part is looked at.
    const uint64_t one_in = 1 + campaign.exchanges / 4'000'000;
    const size_t each =
        std::clamp<size_t>(kSampled / std::max<size_t>(1, found->number.size()), 1, kSampleEach);
    auto rows = Ask(
        StrCat("SELECT account_id, ", kHashes,
               " FROM (SELECT account_id, system_sketch, turn_sketch FROM exchanges "
               "WHERE account_id GLOBAL IN (",
               Found::Attributed(campaign), ") AND features != 0 AND cityHash64(exchange_id) % ",
               one_in, " = 0 LIMIT ", each, " BY account_id)"),
        kNetworkSeconds, kMembersRead * kSampleEach);
    if (!rows.ok()) found->Missed("Templates", rows.status());
    const auto& number = found->number;
    if (rows.ok()) {
      std::vector<std::set<uint32_t>> holders(templates.size());
      for (const Row& row : *rows) {
        const auto a = number.find(row[0]);
        const int t = row.size() == 2 ? matcher.Of(row[1]) : -1;
        if (a != number.end() && t >= 0) holders[size_t(t)].insert(a->second);
      }
      for (size_t t = 0; t < templates.size(); ++t) {
        if (!holders[t].empty())
          found->templates.emplace_back(
              templates[t].id, std::vector<uint32_t>(holders[t].begin(), holders[t].end()));
      }
    }
  }
}

absl::StatusOr<std::shared_ptr<const Explore::Held>> Explore::Make(
    const state::Campaign& campaign) const {
  auto held = std::make_shared<Held>();
  held->campaign = campaign.id, held->name = campaign.name, held->finding = campaign.finding_id;
  held->revision = campaign.revision;
  held->as_of_ms = held->made_ms = c_.now_ms();
  graph::Input input;
  std::vector<state::CampaignMember> members;
  uint64_t total = 0;
  for (size_t offset = 0; members.size() < kMembersRead; offset += state::kPageRows) {
    auto page = c_.state->CampaignMembers(campaign.id, {offset, state::kPageRows});
    if (!page.ok()) return page.status();
    total = page->total;
    for (auto& m : page->rows) members.push_back(std::move(m));
    if (page->rows.size() < state::kPageRows) break;
  }
  if (total > members.size())
    held->notes.push_back(StrCat(total - members.size(), " of ", total, " accounts are not shown"));
  Found found;
  for (uint32_t a = 0; a < members.size(); ++a) {
    input.accounts.push_back({members[a].account_id, members[a].pool_id});
    found.number.emplace(members[a].account_id, a);
  }
  const auto index = c_.lookup ? c_.lookup() : nullptr;
  if (index) {
    held->as_of_ms = index->as_of_ms();
    FindIndex(*index, &found);
  } else {
    found.notes.push_back(
        "Read from the lake, as the last pass left no index of accounts; the next one does");
    FindLake(campaign, &found);
  }
  FindTemplates(campaign, index.get(), &found);
  held->whole = found.whole;
  for (std::string& note : found.notes) held->notes.push_back(std::move(note));
  uint64_t wide = 0;
  for (auto& [name, holders] : found.values) {
    std::sort(holders.begin(), holders.end());
    holders.erase(std::unique(holders.begin(), holders.end()), holders.end());
    if (holders.size() < 2) continue;
    if (holders.size() > kHoldersMax) {
      ++wide;
      continue;
    }
    input.values.push_back({Kind::kValue, name.first, name.second, std::move(holders)});
  }
  if (wide > 0)
    held->notes.push_back(StrCat("Not shown, as what more than ", kHoldersMax,
                                 " accounts have links nobody: ", wide,
                                 wide == 1 ? " value" : " values"));
  for (auto& [id, holders] : found.templates)
    input.values.push_back({Kind::kTemplate, "template", id, std::move(holders)});
  held->network = graph::Network::Build(std::move(input));
  const auto nodes = held->network->nodes();
  held->about.resize(nodes.size());
  held->accused.resize(nodes.size());
  for (size_t n = nodes.size(); n-- > 0;) {
    if (nodes[n].kind == Kind::kAccount) {
      const state::CampaignMember& m = members[found.number.at(nodes[n].label)];
      held->about[n] = {m.verdict, m.probability, m.exchanges};
      held->accused[n] = m.verdict == "distillation";
    }
    if (n > 0) held->accused[nodes[n].parent] += held->accused[n];
  }
  if (held->network->left_out() > 0)
    held->notes.push_back(StrCat("Left out beyond ", graph::kNodesMax, ": ",
                                 held->network->left_out(),
                                 " accounts of the smallest pools, and "
                                 "the least shared values"));
  return held;
}

absl::StatusOr<std::shared_ptr<const Explore::Held>> Explore::Network(const std::string& id) {
  auto campaign = c_.state->GetCampaign(id);
  if (!campaign.ok()) return campaign.status();
  std::shared_ptr<Slot> slot;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto it = std::find_if(networks_.begin(), networks_.end(),
                                 [&](const auto& n) { return n.first == id; });
    if (it != networks_.end()) {
      networks_.splice(networks_.begin(), networks_, it);
    } else {
      networks_.emplace_front(id, std::make_shared<Slot>());
      if (networks_.size() > kNetworksKept) networks_.pop_back();
    }
    slot = networks_.front().second;
  }
  const std::lock_guard<std::mutex> lock(slot->mutex);
  if (slot->held) {
    const int64_t age = c_.now_ms() - slot->held->made_ms;
    const bool same = slot->held->revision == campaign->revision;
    if (slot->held->whole ? same || age < kNetworkMs : age < kNetworkMs / 10) return slot->held;
  }
  auto made = Make(*campaign);
  if (!made.ok()) return made.status();
  slot->held = *std::move(made);
  return slot->held;
}

namespace {

std::vector<std::string> SplitBy(std::string_view text, char c) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const size_t end = std::min(text.find(c), text.size());
    if (end > 0) out.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

}  // namespace

HttpReply Explore::Graph(const HttpRequest& r) {
  auto held = Network(std::string(r.Param("id")));
  if (!held.ok()) return Fail(held.status());
  const graph::Network& net = *(*held)->network;
  const auto nodes = net.nodes();
  // Ids of clusters, "~" between them; not there: what a view opens by itself.
  std::vector<uint32_t> open;
  uint64_t unknown = 0;
  if (const auto text = r.Query("open")) {
    for (const std::string& id : SplitBy(*text, '~')) {
      const int64_t n = net.Find(id);
      if (id == "none") continue;  // said, so that nothing opens by itself
      if (n > 0)
        open.push_back(static_cast<uint32_t>(n));
      else
        ++unknown;
    }
  } else {
    open = net.Opening();
  }
  const int64_t focus = net.Find(r.Query("focus").value_or(""));
  const graph::View view = net.Draw(open, focus > 0 ? static_cast<uint32_t>(focus) : 0);
  Out o;
  o.Object()
      .Text("campaign_id", (*held)->campaign)
      .Text("name", (*held)->name)
      .Time("as_of", (*held)->as_of_ms)
      .Texts("notes", (*held)->notes)
      .Int("accounts", net.accounts())
      .Int("values", net.values())
      .Int("links_total", net.links())
      .Int("left_out", net.left_out())
      .Int("links_cut", view.links_cut)
      .Int("unknown", unknown)
      .Array("refused");
  for (const uint32_t n : view.refused) (*o).String(nodes[n].id);
  o.EndArray().Array("elements");
  for (const auto& e : view.elements) {
    const graph::Node& n = nodes[e.node];
    o.Object()
        .Text("id", n.id)
        .Text("kind", graph::KindName(n.kind))
        .Text("field", n.field)
        .Text("label", n.label)
        .Text("parent", nodes[n.parent].id)
        .Bool("open", e.open)
        .Real("x", Short(e.place.x))
        .Real("y", Short(e.place.y))
        .Real("r", Short(e.place.r))
        .Int("accounts", n.accounts)
        .Int("links", n.links)
        .Int("accused", (*held)->accused[e.node])
        .Int("children", n.children)
        .End();
  }
  o.EndArray().Array("links");  // of two elements and how many they stand for, one after the other
  for (const auto& l : view.links) {
    (*o).Uint(l.a);
    (*o).Uint(l.b);
    (*o).Uint(l.count);
  }
  return JsonReply(o.EndArray().End().Done());
}

HttpReply Explore::Nodes(const HttpRequest& r) {
  const auto offset = NumberOf(r, "offset", 0), limit = NumberOf(r, "limit", 50);
  if (!offset.ok()) return Fail(offset.status());
  if (!limit.ok()) return Fail(limit.status());
  if (*limit == 0 || *limit > state::kPageRows)
    return ErrorReply(400, StrCat("limit: expected 1 to ", state::kPageRows));
  auto held = Network(std::string(r.Param("id")));
  if (!held.ok()) return Fail(held.status());
  const graph::Network& net = *(*held)->network;
  const auto nodes = net.nodes();
  const auto lower = [](std::string text) {
    for (char& c : text) c = c >= 'A' && c <= 'Z' ? char(c + 32) : c;
    return text;
  };
  const std::string text = lower(r.Query("text").value_or("")), kind = r.Query("kind").value_or(""),
                    parent = r.Query("parent").value_or(""),
                    linked = r.Query("linked").value_or(""), one = r.Query("node").value_or("");
  std::vector<uint32_t> found;
  const auto fits = [&](uint32_t n) {
    return n != 0 && (kind.empty() || kind == graph::KindName(nodes[n].kind)) &&
           (text.empty() || lower(nodes[n].label).find(text) != std::string::npos);
  };
  const auto all = [&](uint32_t begin, uint32_t end) {
    for (uint32_t n = begin; n < end; ++n)
      if (fits(n)) found.push_back(n);
  };
  if (!one.empty() || !linked.empty() || !parent.empty()) {
    const std::string& id = !one.empty() ? one : !linked.empty() ? linked : parent;
    const int64_t n = net.Find(id);
    if (n < 0) return ErrorReply(404, StrCat("graph: there is no ", id.substr(0, 100), " in it"));
    const graph::Node& node = nodes[size_t(n)];
    if (!one.empty())
      found.push_back(static_cast<uint32_t>(n));
    else if (linked.empty())
      all(node.first, node.first + node.children);
    else
      for (const uint32_t l : net.Linked(static_cast<uint32_t>(n)))
        if (fits(l)) found.push_back(l);
  } else {
    all(1, static_cast<uint32_t>(nodes.size()));
  }
  std::stable_sort(found.begin(), found.end(), [&](uint32_t a, uint32_t b) {
    if (nodes[a].accounts != nodes[b].accounts) return nodes[a].accounts > nodes[b].accounts;
    return nodes[a].links > nodes[b].links;
  });
  Out o;
  o.Object().Int("total", found.size()).Array("rows");
  for (size_t i = *offset; i < found.size() && i - *offset < *limit; ++i) {
    const graph::Node& n = nodes[found[i]];
    const Held::About& about = (*held)->about[found[i]];
    o.Object()
        .Text("id", n.id)
        .Text("kind", graph::KindName(n.kind))
        .Text("field", n.field)
        .Text("label", n.label)
        .Int("accounts", n.accounts)
        .Int("links", n.links)
        .Int("accused", (*held)->accused[found[i]])
        .Int("children", n.children)
        .Text("verdict", about.verdict)
        .Real("probability", about.probability)
        .Int("exchanges", about.exchanges)
        .Array("path");  // clusters that it is in, the largest first
    std::vector<uint32_t> path;
    for (uint32_t p = n.parent; p != 0; p = nodes[p].parent) path.push_back(p);
    for (size_t p = path.size(); p-- > 0;)
      o.Object().Text("id", nodes[path[p]].id).Text("label", nodes[path[p]].label).End();
    o.EndArray().End();
  }
  return JsonReply(o.EndArray().End().Done());
}

// --- accounts ---

absl::StatusOr<Explore::Facts> Explore::Read(const std::string& account) const {
  Facts f;
  f.id = account;
  State::CampaignQuery q;
  q.status.clear();
  q.account_id = account;
  auto campaigns = c_.state->ListCampaigns(q, {0, 20});
  if (!campaigns.ok()) return campaigns.status();
  for (const state::Campaign& row : campaigns->rows) {
    auto c = c_.state->GetCampaign(row.id);
    if (!c.ok()) return c.status();
    f.campaigns.push_back(*std::move(c));
    auto m = c_.state->GetCampaignMember(row.id, account);
    if (m.ok()) f.membership.emplace(row.id, *std::move(m));
  }
  // Who has come since the last pass, or not in its window, is in the lake alone.
  const auto index = c_.lookup ? c_.lookup() : nullptr;
  if (const auto number = index ? index->FindAccount(account) : std::nullopt) {
    ReadIndex(*index, *number, &f);
    // Without the lake its texts are not compared, and all else is there.
    if (absl::Status s = ReadTemplates(index.get(), &f); !s.ok() && !absl::IsUnavailable(s))
      return s;
    return f;
  }
  if (absl::Status s = ReadLake(&f); !s.ok()) return s;
  if (absl::Status s = ReadTemplates(nullptr, &f); !s.ok()) return s;
  return f;
}

void Explore::ReadIndex(const lookup::Lookup& index, uint32_t account, Facts* f) {
  const lookup::Account a = index.Read(account);
  f->as_of_ms = index.as_of_ms();
  f->exchanges = a.exchanges, f->input_tokens = a.input_tokens, f->output_tokens = a.output_tokens;
  f->first_ms = a.first_ms, f->last_ms = a.last_ms;
  f->hours = a.hours;
  for (size_t i = 0; i < lookup::kFields; ++i) {
    const auto field = Field(i);
    std::vector<lookup::Use> uses = a.uses[i];
    if (uses.empty()) continue;
    std::stable_sort(uses.begin(), uses.end(),
                     [](const auto& x, const auto& y) { return x.exchanges > y.exchanges; });
    std::string name = FieldName(field);
    if (OfRecord(field)) {
      const std::string_view column = std::string_view(name).substr(name.find('.') + 1);
      f->record[std::string(column)] = index.Value(field, uses[0].value);
      if (!Among(name, kAccountFields)) continue;
    }
    auto& values = f->of[name];
    for (size_t k = 0; k < std::min(uses.size(), kProfileValues); ++k)
      values.push_back({std::string(index.Value(field, uses[k].value)), uses[k].exchanges});
    f->beyond[name] = uses.size() - values.size();
  }
  if (a.created_ms && *a.created_ms >= 0)
    f->record["created_at"] = base::FormatRfc3339(*a.created_ms);
}

absl::Status Explore::ReadLake(Facts* out) const {
  Facts& f = *out;
  f.as_of_ms = c_.now_ms();
  const std::string id = SqlString(f.id);
  // Each exchange once: of two with one id the one with the smaller content stays. Values are
  // counted together, as few combinations of them occur.
  static constexpr const char* kCounted[] = {"model",      "channel",    "client_ip", "ja4",
                                             "user_agent", "api_key_id", "org_id"};
  std::string names, none;
  for (const char* field : kCounted) {
    base::StrAppend(&names, ", ", field);
    base::StrAppend(&none, ", '' AS ", field);
  }
  const std::string from = StrCat(" FROM (SELECT ts, input_tokens, output_tokens", names,
                                  " FROM exchanges WHERE account_id = ", id,
                                  " ORDER BY exchange_id, content LIMIT 1 BY exchange_id) AS e ");
  auto rows = Ask(
      StrCat(
          "SELECT toUInt64(intDiv(ts, 3600000) % 24) AS h, count() AS n, sum(if(input_tokens = "
          "4294967295, 0, toUInt64(input_tokens))) AS i, sum(if(output_tokens = 4294967295, 0, "
          "toUInt64(output_tokens))) AS o, min(ts) AS f, max(ts) AS l",
          none, from,
          "GROUP BY h UNION ALL SELECT toUInt64(24) AS h, n, toUInt64(0) AS i, toUInt64(0) AS o, "
          "toInt64(0) AS f, toInt64(0) AS l",
          names, " FROM (SELECT count() AS n", names, from, "GROUP BY ", names.substr(2),
          " ORDER BY n DESC", names, " LIMIT ", kProfileValues, ")"),
      kExploreSeconds, kProfileValues + 24);
  if (!rows.ok()) return rows.status();
  std::map<std::string, std::map<std::string, uint64_t>> counted;
  for (const Row& row : *rows) {
    if (row.size() != 13) continue;
    const uint64_t h = Number(row[0]), n = Number(row[1]);
    if (h < 24) {
      f.hours[h] = n;
      f.first_ms = f.exchanges == 0 ? int64_t(Number(row[4]))
                                    : std::min(f.first_ms, int64_t(Number(row[4])));
      f.last_ms = std::max(f.last_ms, int64_t(Number(row[5])));
      f.exchanges += n, f.input_tokens += Number(row[2]), f.output_tokens += Number(row[3]);
      continue;
    }
    for (size_t k = 0; k < 7; ++k)
      if (!row[6 + k].empty()) counted[kCounted[k]][row[6 + k]] += n;
  }
  for (const auto& [field, values] : counted)
    for (const auto& [value, n] : values) f.of[field].push_back({value, n});
  for (auto& [field, values] : f.of)
    std::sort(values.begin(), values.end(), [](const auto& a, const auto& b) {
      return a.exchanges != b.exchanges ? a.exchanges > b.exchanges : a.value < b.value;
    });
  static constexpr const char* kRecord[] = {"signup_ip", "email_domain", "payment_id", "referrer",
                                            "org_id",    "plan",         "channel",    "kyc"};
  std::string sql = "SELECT toString(argMin(created_at, content))";
  for (const char* field : kRecord) base::StrAppend(&sql, ", argMin(", field, ", content)");
  rows = Ask(StrCat(sql, " FROM accounts WHERE account_id = ", id, " GROUP BY account_id"),
             kExploreSeconds, 1);
  if (!rows.ok()) return rows.status();
  if (!rows->empty() && (*rows)[0].size() == 9) {
    for (size_t i = 0; i < 8; ++i) {
      const std::string& v = (*rows)[0][i + 1];
      if (v.empty()) continue;
      f.record[kRecord[i]] = v;
      if (i < 4) f.of[kRecord[i]].push_back({v, 0});
    }
    if ((*rows)[0][0] != "-9223372036854775808" && !(*rows)[0][0].starts_with('-'))
      f.record["created_at"] = base::FormatRfc3339(int64_t(Number((*rows)[0][0])));
  }
  return absl::OkStatus();
}

absl::Status Explore::ReadTemplates(const lookup::Lookup* index, Facts* out) const {
  Facts& f = *out;
  std::vector<Template> templates;
  size_t hashes = 0;
  for (const state::Campaign& c : f.campaigns) {
    for (Template& t : TemplatesOf(c.json)) {
      hashes += t.hashes.size();
      if (hashes <= kTemplateHashes) templates.push_back(std::move(t));
    }
  }
  if (templates.empty()) return absl::OkStatus();
  std::vector<uint32_t> known;
  if (const auto account = index ? index->FindAccount(f.id) : std::nullopt) {
    for (const Template& t : templates)
      if (const auto number = index->FindTemplate(t.id)) known.push_back(*number);
    if (known.size() == templates.size()) {
      f.sampled = index->Read(*account, 0).with_text;
      for (size_t t = 0; t < known.size(); ++t)
        for (const lookup::Holder& h : index->TemplateHolders(known[t]))
          if (h.account == *account) f.templates[templates[t].id] = h.exchanges;
    }
  }
  if (known.size() < templates.size()) {
    const Matcher matcher(templates);
    auto rows =
        Ask(StrCat("SELECT ", kHashes, " FROM exchanges WHERE account_id = ", SqlString(f.id),
                   " AND features != 0 LIMIT 64"),
            kExploreSeconds, 64);
    if (!rows.ok()) return rows.status();
    f.sampled = rows->size();
    for (const Row& row : *rows)
      if (const int t = matcher.Of(row[0]); t >= 0) ++f.templates[templates[size_t(t)].id];
  }
  return absl::OkStatus();
}

namespace {

template <typename Facts>
void Write(Out& o, const Facts& f) {
  o.Object()
      .Text("account_id", f.id)
      .Int("exchanges", f.exchanges)
      .Int("input_tokens", f.input_tokens)
      .Int("output_tokens", f.output_tokens)
      .Time("first_seen", f.first_ms)
      .Time("last_seen", f.last_ms)
      .Time("as_of", f.as_of_ms)
      .Array("hours");
  for (const uint64_t n : f.hours) (*o).Uint(n);
  o.EndArray().Array("fields");
  for (const auto& [field, values] : f.of) {
    const auto beyond = f.beyond.find(field);
    o.Object()
        .Text("field", field)
        .Int("total", values.size() + (beyond == f.beyond.end() ? 0 : beyond->second))
        .Array("values");
    for (size_t i = 0; i < std::min(values.size(), kProfileShown); ++i)
      o.Object().Text("value", values[i].value).Int("exchanges", values[i].exchanges).End();
    o.EndArray().End();
  }
  o.EndArray().Array("record");
  for (const auto& [field, value] : f.record)
    o.Object().Text("field", field).Text("value", value).End();
  o.EndArray().Int("sampled", f.sampled).Array("templates");
  for (const auto& [id, n] : f.templates) o.Object().Text("id", id).Int("exchanges", n).End();
  o.EndArray().Array("campaigns");
  for (const state::Campaign& c : f.campaigns) {
    const auto m = f.membership.find(c.id);
    const bool is = m != f.membership.end();
    o.Object()
        .Text("id", c.id)
        .Text("name", c.name)
        .Text("verdict", c.verdict)
        .Text("own_verdict", is ? m->second.verdict : "")
        .Real("own_probability", is ? m->second.probability : 0)
        .Text("pool_id", is ? m->second.pool_id : "")
        .Text("why", is ? m->second.why : "")
        .End();
  }
  o.EndArray().End();
}

}  // namespace

HttpReply Explore::Profile(const HttpRequest& r) {
  auto f = Read(std::string(r.Param("id")));
  if (!f.ok()) return Fail(f.status());
  Out o;
  Write(o, *f);
  return JsonReply(o.Done());
}

absl::StatusOr<uint64_t> Explore::Accounts() {
  if (const auto index = c_.lookup ? c_.lookup() : nullptr) return index->active();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (accounts_ms_ != 0 && c_.now_ms() - accounts_ms_ < 10 * kNetworkMs) return accounts_;
  }
  auto rows = Ask("SELECT uniq(account_id) FROM exchanges", kExploreSeconds, 1);
  if (!rows.ok()) return rows.status();
  const std::lock_guard<std::mutex> lock(mutex_);
  accounts_ = rows->empty() ? 0 : Number((*rows)[0][0]);
  accounts_ms_ = c_.now_ms();
  return accounts_;
}

HttpReply Explore::Compare(const HttpRequest& r) {
  const std::string a = r.Query("a").value_or(""), b = r.Query("b").value_or("");
  if (a.empty() || b.empty() || a == b)
    return ErrorReply(400, "a, b: expected the ids of two accounts");
  auto x = Read(a), y = Read(b);
  if (!x.ok()) return Fail(x.status());
  if (!y.ok()) return Fail(y.status());
  const auto accounts = Accounts();
  if (!accounts.ok()) return Fail(accounts.status());
  struct Shared {
    std::string field, value;
    uint64_t a = 0, b = 0, holders = 2;
  };
  std::vector<Shared> shared;
  for (const auto& [field, values] : x->of) {
    const auto theirs = y->of.find(field);
    if (theirs == y->of.end() || field == "model" || field == "channel") continue;
    std::map<std::string_view, uint64_t> have;
    for (const auto& v : theirs->second) have[v.value] = v.exchanges;
    size_t n = 0;
    for (const auto& v : values)
      if (const auto it = have.find(v.value); it != have.end() && ++n <= kProfileShown)
        shared.push_back({field, v.value, v.exchanges, it->second});
  }
  // How many accounts have each: what many have says nothing. Of what the index does not know the
  // lake does.
  const auto index = c_.lookup ? c_.lookup() : nullptr;
  std::vector<uint8_t> known(shared.size());
  for (size_t i = 0; i < shared.size(); ++i) {
    const Field field = *FieldOf(shared[i].field);
    const auto value = index ? index->FindValue(field, shared[i].value) : std::nullopt;
    if (!value) continue;
    known[i] = 1;
    shared[i].holders = std::max<uint64_t>(2, index->HolderCount(field, *value));
  }
  std::string sql;
  for (const std::span<const char* const> fields : {std::span<const char* const>(kExchangeFields),
                                                    std::span<const char* const>(kAccountFields)}) {
    for (const char* field : fields) {
      std::string list;
      for (size_t i = 0; i < shared.size(); ++i)
        if (!known[i] && shared[i].field == field)
          base::StrAppend(&list, list.empty() ? "" : ",", SqlString(shared[i].value));
      if (list.empty()) continue;
      const bool of_exchange = Among(field, kExchangeFields);
      base::StrAppend(&sql, sql.empty() ? "" : " UNION ALL ", "SELECT '", field, "', ", field,
                      ", uniq(account_id) FROM ", of_exchange ? "exchanges" : "accounts", " WHERE ",
                      field, " IN (", list, ") GROUP BY ", field);
    }
  }
  if (!sql.empty()) {
    auto rows = Ask(sql, kExploreSeconds, 10 * kProfileShown);
    if (!rows.ok()) return Fail(rows.status());
    for (const Row& row : *rows)
      for (Shared& s : shared)
        if (row.size() == 3 && s.field == row[0] && s.value == row[1])
          s.holders = std::max<uint64_t>(2, Number(row[2]));
  }
  std::stable_sort(shared.begin(), shared.end(),
                   [](const Shared& p, const Shared& q) { return p.holders < q.holders; });
  // Five minutes in which both asked, against what their hours would make of it: on each day that
  // both were there a span of hour h is one of twelve, and each asks in its share of them.
  const int64_t from = std::max(x->first_ms, y->first_ms), to = std::min(x->last_ms, y->last_ms);
  uint64_t together = 0;
  double expected = 0;
  if (from < to) {
    const auto spans = [&](const std::string& id) {
      return StrCat("SELECT intDiv(ts, 300000) AS s FROM exchanges WHERE account_id = ",
                    SqlString(id), " AND ts >= ", from, " AND ts <= ", to, " GROUP BY s");
    };
    auto rows =
        Ask(StrCat("SELECT toUInt64(100), count() FROM (", spans(a), ") WHERE s IN (", spans(b),
                   ") UNION ALL SELECT h, n FROM (SELECT toUInt64(intDiv(s, 12) % 24) "
                   "AS h, count() AS n FROM (",
                   spans(a),
                   ") GROUP BY h) UNION ALL SELECT h + 200, n FROM (SELECT "
                   "toUInt64(intDiv(s, 12) % 24) AS h, count() AS n FROM (",
                   spans(b), ") GROUP BY h)"),
            kExploreSeconds, 100);
    if (!rows.ok()) return Fail(rows.status());
    std::array<double, 24> of_a{}, of_b{};
    for (const Row& row : *rows) {
      if (row.size() != 2) continue;
      const uint64_t key = Number(row[0]), n = Number(row[1]);
      if (key == 100) together = n;
      if (key < 24) of_a[key] = double(n);
      if (key >= 200 && key < 224) of_b[key - 200] = double(n);
    }
    const double spans_an_hour = 12 * std::max(1.0, double(to - from) / double(base::kMsPerDay));
    for (size_t h = 0; h < 24; ++h) expected += of_a[h] * of_b[h] / spans_an_hour;
  }
  double overlap = 0;
  if (x->exchanges > 0 && y->exchanges > 0) {
    for (size_t h = 0; h < 24; ++h)
      overlap += std::min(double(x->hours[h]) / double(x->exchanges),
                          double(y->hours[h]) / double(y->exchanges));
  }
  Out o;
  o.Object();
  (*o).Key("a");
  Write(o, *x);
  (*o).Key("b");
  Write(o, *y);
  o.Int("accounts", *accounts).Array("shared");
  for (const Shared& s : shared) {
    o.Object()
        .Text("field", s.field)
        .Text("value", s.value)
        .Int("a_exchanges", s.a)
        .Int("b_exchanges", s.b)
        .Int("holders", s.holders)
        .Real("bits",
              std::round(100 * std::max(0.0, std::log2(double(std::max<uint64_t>(*accounts, 1)) /
                                                       double(s.holders)))) /
                  100)
        .End();
  }
  o.EndArray().Array("campaigns");
  for (const state::Campaign& c : x->campaigns) {
    const auto p = x->membership.find(c.id), q = y->membership.find(c.id);
    if (p == x->membership.end() || q == y->membership.end()) continue;
    o.Object()
        .Text("id", c.id)
        .Text("name", c.name)
        .Text("verdict", c.verdict)
        .Bool("same_pool", !p->second.pool_id.empty() && p->second.pool_id == q->second.pool_id)
        .Text("pool_id", p->second.pool_id == q->second.pool_id ? p->second.pool_id : "")
        .End();
  }
  o.EndArray().Array("templates");
  for (const auto& [id, n] : x->templates)
    if (y->templates.contains(id)) (*o).String(id);
  o.EndArray().Array("models");
  if (x->of.contains("model") && y->of.contains("model")) {
    for (const auto& v : x->of["model"])
      for (const auto& w : y->of["model"])
        if (v.value == w.value) (*o).String(v.value);
  }
  o.EndArray()
      .Real("hours_overlap", std::round(1000 * overlap) / 1000)
      .Int("spans_together", together)
      .Real("spans_expected", std::round(100 * expected) / 100)
      .End();
  return JsonReply(o.Done());
}

// --- who has it ---

absl::StatusOr<std::shared_ptr<const Explore::Having>> Explore::Find(const std::string& field,
                                                                     const std::string& value,
                                                                     const std::string& campaign) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto it = holders_.begin(); it != holders_.end(); ++it) {
      const Having& h = **it;
      if (h.field != field || h.value != value || h.campaign != campaign ||
          c_.now_ms() - h.ms > kHoldersMs)
        continue;
      holders_.splice(holders_.begin(), holders_, it);
      return holders_.front();
    }
  }
  auto having = std::make_shared<Having>();
  having->field = field, having->value = value, having->campaign = campaign;
  having->ms = having->as_of_ms = c_.now_ms();
  const auto keep = [&] {
    having->cut = having->accounts.size() > kHoldersRead;
    if (having->cut) having->accounts.resize(kHoldersRead);
    const std::lock_guard<std::mutex> lock(mutex_);
    holders_.push_front(having);
    if (holders_.size() > kHoldersKept) holders_.pop_back();
    return having;
  };
  if (const auto index = c_.lookup ? c_.lookup() : nullptr) {
    std::vector<lookup::Holder> found;
    if (Among(field, kExchangeFields) || Among(field, kAccountFields)) {
      const Field f = *FieldOf(field);
      if (const auto v = index->FindValue(f, value)) found = index->Holders(f, *v);
    } else if (field == "template") {
      if (const auto t = index->FindTemplate(value)) found = index->TemplateHolders(*t);
    }
    if (!found.empty()) {
      // Accounts ascend by their ids.
      std::stable_sort(found.begin(), found.end(),
                       [](const auto& a, const auto& b) { return a.exchanges > b.exchanges; });
      if (found.size() > kHoldersRead + 1) found.resize(kHoldersRead + 1);
      for (const lookup::Holder& h : found)
        having->accounts.push_back(
            {std::string(index->AccountId(h.account)), h.exchanges, h.first_ms, h.last_ms});
      having->as_of_ms = index->as_of_ms();
      return keep();
    }
  }
  // What came since the last pass, or not in its window, is in the lake alone.
  const std::string order = StrCat(" ORDER BY n DESC, account_id LIMIT ", kHoldersRead + 1);
  std::string sql;
  if (Among(field, kExchangeFields)) {
    sql = StrCat(
        "SELECT account_id, uniqExact(exchange_id) AS n, min(ts), max(ts) FROM exchanges WHERE ",
        field, " = ", SqlString(value), " GROUP BY account_id", order);
  } else if (Among(field, kAccountFields)) {
    sql = StrCat(
        "SELECT account_id, toUInt64(0) AS n, toInt64(0), toInt64(0) FROM (SELECT "
        "account_id, argMin(",
        field, ", content) AS v FROM accounts GROUP BY account_id) WHERE v = ", SqlString(value),
        order);
  } else if (field == "template") {
    auto c = c_.state->GetCampaign(campaign);
    if (!c.ok()) return c.status();
    std::string hashes;
    size_t n = 0;
    for (const Template& t : TemplatesOf(c->json)) {
      if (t.id != value) continue;
      n = t.hashes.size();
      for (const uint32_t h : t.hashes) base::StrAppend(&hashes, hashes.empty() ? "" : ",", h);
    }
    if (n == 0)
      return absl::NotFoundError(
          StrCat("value: campaign ", campaign, " has no template ", value.substr(0, 100)));
    sql = StrCat(
        "SELECT account_id, uniqExact(exchange_id) AS n, min(ts), max(ts) FROM exchanges WHERE "
        "features "
        "!= 0 AND arrayCount(h -> h IN (",
        hashes, "), arrayConcat(system_sketch, turn_sketch)) * 3 >= ", n, " GROUP BY account_id",
        order);
  } else {
    return absl::InvalidArgumentError(
        "field: expected client_ip, ja4, user_agent, api_key_id, org_id, signup_ip, email_domain, "
        "payment_id, referrer or template");
  }
  auto rows = Ask(sql, kExploreSeconds, kHoldersRead + 1);
  if (!rows.ok()) return rows.status();
  for (Row& row : *rows) {
    if (row.size() != 4) continue;
    having->accounts.push_back(
        {std::move(row[0]), Number(row[1]), int64_t(Number(row[2])), int64_t(Number(row[3]))});
  }
  return keep();
}

HttpReply Explore::Holders(const HttpRequest& r) {
  const auto offset = NumberOf(r, "offset", 0), limit = NumberOf(r, "limit", 50);
  if (!offset.ok()) return Fail(offset.status());
  if (!limit.ok()) return Fail(limit.status());
  if (*limit == 0 || *limit > 100) return ErrorReply(400, "limit: expected 1 to 100");
  const std::string value = r.Query("value").value_or("");
  if (value.empty()) return ErrorReply(400, "value: is missing");
  auto having = Find(r.Query("field").value_or(""), value, r.Query("campaign").value_or(""));
  if (!having.ok()) return Fail(having.status());
  const auto& accounts = (*having)->accounts;
  Out o;
  o.Object()
      .Int("total", accounts.size())
      .Bool("cut", (*having)->cut)
      .Time("as_of", (*having)->as_of_ms)
      .Array("rows");
  for (size_t i = *offset; i < accounts.size() && i - *offset < *limit; ++i) {
    o.Object()
        .Text("account_id", accounts[i].id)
        .Int("exchanges", accounts[i].exchanges)
        .Time("first_seen", accounts[i].first_ms)
        .Time("last_seen", accounts[i].last_ms)
        .Array("campaigns");
    State::CampaignQuery q;
    q.status.clear();
    q.account_id = accounts[i].id;
    auto campaigns = c_.state->ListCampaigns(q, {0, 5});
    if (!campaigns.ok()) return Fail(campaigns.status());
    for (const state::Campaign& c : campaigns->rows)
      o.Object().Text("id", c.id).Text("name", c.name).Text("verdict", c.verdict).End();
    o.EndArray().End();
  }
  return JsonReply(o.EndArray().End().Done());
}

}  // namespace stillwatch::serve::api
