// share compare: how many indicators two sides have in common, or which, without showing each other
// the rest. Over the network, or by files that somebody carries.
#include <cstdio>
#include <memory>
#include <set>

#include "app/command.h"
#include "app/share.h"
#include "app/share_answer.h"
#include "app/state_dir.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/str.h"
#include "base/text.h"
#include "dossier/read.h"
#include "lake/lake.h"
#include "share/compare/client.h"
#include "share/compare/party.h"
#include "share/psi/items.h"

namespace stillwatch::app {
namespace {

using base::StrCat;
using share::compare::ItemSet;
using share::compare::Party;
using share::compare::Result;
using share::psi::Question;

constexpr size_t kIdsAtOnce = 2000;  // of accounts in one statement

struct Options {
  std::string step, file, peers, peer, set, from, campaign, lake, out,
      data = "/var/lib/stillwatch", config, alone, note, token_file;
  bool which = false, tell = false;
  int threads = 2;
};

// The values of a campaign's members: what their account records and their exchanges carry.
absl::StatusOr<ItemSet> ItemsOfCampaign(const Options& o) {
  auto findings = dossier::ReadFindings(o.from);
  if (!findings.ok()) return findings.status();
  const model::Campaign* campaign = nullptr;
  for (const auto& c : findings->campaigns) {
    if (c.id == o.campaign) campaign = &c;
  }
  if (campaign == nullptr)
    return absl::InvalidArgumentError(StrCat(o.from, " holds no campaign ", o.campaign));
  std::vector<std::pair<std::string, std::string>> items;
  std::vector<std::string> ids;
  for (const auto& m : campaign->members) {
    // Not of those who are merely affected: a stolen key's owner is nobody's business.
    if (m.verdict != model::VerdictName(campaign->verdict)) continue;
    ids.push_back(m.account_id);
  }
  if (ids.empty())
    return absl::InvalidArgumentError(StrCat("campaign ", o.campaign, " has no member to compare"));
  auto lake = OpenLake(o.lake.empty() ? o.from + "/lake" : o.lake, 1, true);
  if (!lake.ok()) return lake.status();
  uint64_t unusable = 0;
  const auto add = [&](std::string_view family, std::string_view value) {
    if (value.empty()) return;
    if (share::psi::Normalise(family, value).ok())
      items.emplace_back(family, value);
    else
      ++unusable;
  };
  for (size_t at = 0; at < ids.size(); at += kIdsAtOnce) {
    std::string list;
    for (size_t i = at; i < std::min(ids.size(), at + kIdsAtOnce); ++i) {
      base::StrAppend(&list, list.empty() ? "" : ",", lake::SqlString(ids[i]));
      add("account-id", ids[i]);
    }
    const auto text = [](const lake::Block& b, size_t column, size_t row) {
      return b.columns[column].As<lake::StringColumn>()[row];
    };
    absl::Status s = (*lake)->Query(
        StrCat("SELECT payment_id, email_domain, signup_ip FROM accounts WHERE account_id IN (",
               list, ") GROUP BY payment_id, email_domain, signup_ip"),
        [&](const lake::Block& b) {
          for (size_t i = 0; i < b.rows(); ++i) {
            add("payment", text(b, 0, i));
            add("mail-domain", text(b, 1, i));
            add("address", text(b, 2, i));
          }
          return absl::OkStatus();
        });
    if (s.ok()) {
      s = (*lake)->Query(StrCat("SELECT client_ip FROM exchanges WHERE account_id IN (", list,
                                ") GROUP BY client_ip"),
                         [&](const lake::Block& b) {
                           for (size_t i = 0; i < b.rows(); ++i) add("address", text(b, 0, i));
                           return absl::OkStatus();
                         });
    }
    if (!s.ok()) return s;
  }
  if (unusable > 0) {
    std::fprintf(stderr, "stillwatch: note: %s values of the log are not of their family's form\n",
                 base::Grouped(unusable).c_str());
  }
  return ItemSet::Make(std::move(items));
}

absl::StatusOr<ItemSet> Items(const Options& o) {
  if (o.set.empty() == o.from.empty())
    return absl::InvalidArgumentError("name the items: --set FILE, or --from DIR --campaign ID");
  if (!o.set.empty()) return ItemSet::Read(o.set);
  if (o.campaign.empty()) return absl::InvalidArgumentError("--from needs --campaign ID");
  return ItemsOfCampaign(o);
}

void Print(const Result& r, bool answering) {
  std::printf("%-12s %12s %12s %12s   %s, %s, epoch %s\n", "family", "mine", "theirs", "common",
              r.peer.c_str(), share::psi::QuestionName(r.question), r.epoch.c_str());
  for (const auto& row : r.rows) {
    std::printf("%-12s %12s %12s %12s\n", row.family.c_str(), base::Grouped(row.mine).c_str(),
                base::Grouped(row.theirs).c_str(), base::Grouped(row.common).c_str());
  }
  if (answering) std::printf("(as %s says)\n", r.peer.c_str());
}

class Command {
 public:
  explicit Command(const Options& o) : o_(o) {}

  absl::Status Run() {
    auto data = DataDir(o_.config, o_.data);
    if (!data.ok()) return data.status();
    share::compare::Peers peers;
    if (!o_.peers.empty()) {
      auto read = share::compare::ReadPeers(o_.peers);
      if (!read.ok()) return read.status();
      peers = *std::move(read);
    } else if (o_.step != "key") {
      return absl::InvalidArgumentError("--peers FILE says who may be compared with");
    }
    auto local = OpenLocalState(*data);
    if (!local.ok()) return local.status();
    local_ = *std::move(local);
    share::compare::PartyOptions p;
    p.dir = *data + "/compare";
    p.audit = local_.audit.get();
    p.now_ms = NowMs;
    p.threads = o_.threads;
    auto party = Party::Open(std::move(p), std::move(peers));
    if (!party.ok()) return party.status();
    party_ = *std::move(party);
    if (o_.step == "key") return Key();
    if (o_.step == "propose") return Propose();
    if (o_.step == "offer") return Offer();
    if (o_.step == "request") return Request();
    if (o_.step == "reply") return Reply();
    if (o_.step == "finish") return Finish();
    if (o_.step == "receipt") return Receipt();
    if (o_.step == "run") return Online();
    return Rations();
  }

 private:
  // Two persons answer for showing these items to this peer, blinded as they are, or one alone.
  static std::string DigestFor(const std::string& peer, const ItemSet& items) {
    const auto& d = items.digest();
    return state::ExportDigest(
        {{"", StrCat("stillwatch comparison\n", peer, "\n")},
         {"", std::string(reinterpret_cast<const char*>(d.data()), d.size())}});
  }
  absl::Status MayLeave(const ItemSet& items) {
    if (o_.peer.empty() && o_.alone.empty())
      return absl::InvalidArgumentError("--peer NAME: with whom?");
    return Answered(&local_, "comparison", DigestFor(o_.peer, items),
                    StrCat("comparison with ", o_.peer.empty() ? "a peer" : o_.peer), o_.alone);
  }
  absl::Status Propose() {
    if (o_.peer.empty()) return absl::InvalidArgumentError("--peer NAME: with whom?");
    if (party_->peers().Named(o_.peer) == nullptr)
      return absl::InvalidArgumentError(StrCat("--peer ", o_.peer, ": is not in ", o_.peers));
    auto items = Items(o_);
    if (!items.ok()) return items.status();
    state::Export e;
    e.kind = "comparison";
    e.audience = o_.peer;
    e.campaign_id = o_.campaign;
    e.note = o_.note;
    e.digest = DigestFor(o_.peer, *items);
    for (const auto& f : items->families())
      base::StrAppend(&e.campaign_name, e.campaign_name.empty() ? "" : ", ",
                      base::Grouped(f.values.size()), " ", f.family);
    base::JsonWriter w(&e.summary);
    w.BeginObject();
    w.Key("audience"), w.String(o_.peer);
    w.Key("campaigns"), w.BeginArray(), w.EndArray();
    w.Key("leaves"), w.BeginArray();
    for (const auto& f : items->families()) {
      w.BeginObject();
      w.Key("type"), w.String(f.family);
      w.Key("form"), w.String("compared");
      w.Key("count"), w.Uint(f.values.size());
      w.EndObject();
    }
    w.EndArray();
    w.Key("stays"), w.BeginArray(), w.EndArray();
    w.EndObject();
    return ProposeExport(&local_, o_.token_file, std::move(e), {});
  }

  Question question() const { return o_.which ? Question::kWhich : Question::kCount; }

  absl::StatusOr<std::string> In(size_t most) const {
    if (o_.file.empty())
      return absl::InvalidArgumentError(
          StrCat("share compare ", o_.step, ": name the file that came from the other side"));
    return share::compare::ReadFile(o_.file, most);
  }
  absl::Status Out(const std::string& bytes, const char* what) const {
    if (o_.out.empty()) return absl::InvalidArgumentError("--out FILE is needed");
    if (absl::Status s = share::compare::WriteFile(o_.out, bytes); !s.ok()) return s;
    std::fprintf(stderr, "%s: %s, %s bytes\n", o_.out.c_str(), what,
                 base::Grouped(bytes.size()).c_str());
    return absl::OkStatus();
  }
  // Known before anything is spent or used up.
  absl::Status OutNamed() const {
    return o_.out.empty() ? absl::InvalidArgumentError("--out FILE is needed") : absl::OkStatus();
  }

  absl::Status Key() const {
    const auto key = party_->key();
    std::printf("%s\n", base::Hex({reinterpret_cast<const char*>(key.data()), key.size()}).c_str());
    return absl::OkStatus();
  }

  absl::Status Offer() {
    if (o_.peer.empty()) return absl::InvalidArgumentError("--peer NAME: to whom?");
    auto items = Items(o_);
    if (!items.ok()) return items.status();
    if (absl::Status left = MayLeave(*items); !left.ok()) return left;
    auto bytes = party_->Offer(o_.peer, question(), *items, share::compare::kRunMs, local_.actor);
    if (!bytes.ok()) return bytes.status();
    return Out(*bytes, "the offer; the other side runs `share compare request` on it");
  }

  absl::Status Request() {
    if (absl::Status s = OutNamed(); !s.ok()) return s;
    auto in = In(1 << 16);
    if (!in.ok()) return in.status();
    auto items = Items(o_);
    if (!items.ok()) return items.status();
    if (absl::Status left = MayLeave(*items); !left.ok()) return left;
    auto bytes = party_->Request(*in, question(), *items, local_.actor, o_.peer);
    if (!bytes.ok()) return bytes.status();
    return Out(*bytes, "the request; the other side runs `share compare reply` on it");
  }

  absl::Status Reply() {
    if (absl::Status s = OutNamed(); !s.ok()) return s;
    auto in = In(share::psi::kRequestBytesMax);
    if (!in.ok()) return in.status();
    auto items = Items(o_);
    if (!items.ok()) return items.status();
    if (absl::Status left = MayLeave(*items); !left.ok()) return left;
    auto bytes = party_->Reply(*in, *items, local_.actor, o_.peer);
    if (!bytes.ok()) return bytes.status();
    return Out(*bytes, "the reply; the other side runs `share compare finish` on it");
  }

  absl::Status Finish() {
    if (absl::Status s = OutNamed(); !s.ok()) return s;
    auto in = In(share::psi::kMessageBytesMax);
    if (!in.ok()) return in.status();
    auto items = Items(o_);
    if (!items.ok()) return items.status();
    auto result = party_->Finish(*in, *items, local_.actor);
    if (!result.ok()) return result.status();
    if (absl::Status s = Done(*result); !s.ok() || !o_.tell) return s;
    auto receipt = party_->Receipt(*result, local_.actor);
    if (!receipt.ok()) return receipt.status();
    const std::string path = o_.out + ".receipt";
    if (absl::Status s = share::compare::WriteFile(path, *receipt); !s.ok()) return s;
    std::fprintf(stderr, "%s: the receipt; the other side runs `share compare receipt` on it\n",
                 path.c_str());
    return absl::OkStatus();
  }

  absl::Status Receipt() {
    auto in = In(1 << 16);
    if (!in.ok()) return in.status();
    auto result = party_->TakeReceipt(*in, local_.actor);
    if (!result.ok()) return result.status();
    Print(*result, true);
    return absl::OkStatus();
  }

  absl::Status Online() {
    if (o_.peer.empty()) return absl::InvalidArgumentError("--peer NAME: with whom?");
    if (absl::Status s = OutNamed(); !s.ok()) return s;
    auto items = Items(o_);
    if (!items.ok()) return items.status();
    if (absl::Status left = MayLeave(*items); !left.ok()) return left;
    auto result =
        share::compare::RunOnline(party_.get(), o_.peer, question(), *items,
                                  {.actor = local_.actor, .tell = o_.tell, .stop = &g_stop});
    if (!result.ok()) return result.status();
    return Done(*result);
  }

  absl::Status Done(const Result& result) const {
    const std::string json = share::compare::ResultJson(result, o_.campaign);
    if (absl::Status s = Out(json, "the result"); !s.ok()) return s;
    Print(result, false);
    return absl::OkStatus();
  }

  absl::Status Rations() {
    auto all = party_->Rations();
    if (!all.ok()) return all.status();
    std::printf("%-24s %-12s %14s %14s   epoch %s\n", "peer", "family", "asked about", "may",
                share::compare::EpochAt(NowMs(), party_->peers().epoch_days).c_str());
    for (const auto& s : *all) {
      std::printf("%-24s %-12s %14s %14s\n", s.peer.c_str(), s.family.c_str(),
                  base::Grouped(s.items).c_str(), base::Grouped(s.limit).c_str());
    }
    return absl::OkStatus();
  }

  const Options& o_;
  LocalState local_;
  std::unique_ptr<Party> party_;
};

}  // namespace

void AddShareCompare(CLI::App* share, int* code) {
  auto* sub = share->add_subcommand(
      "compare",
      "how many indicators two sides have in common, or which, without showing the rest");
  auto o = std::make_shared<Options>();
  sub->add_option("STEP", o->step,
                  "key (print ours) | propose (for another to approve) | run (over the network) | "
                  "offer, request, reply, finish, "
                  "receipt (by files) | rations")
      ->required()
      ->check(CLI::IsMember(
          {"key", "propose", "run", "offer", "request", "reply", "finish", "receipt", "rations"}));
  sub->add_option("FILE", o->file, "what came from the other side: offer, request, reply, receipt");
  sub->add_option("--peers", o->peers, "YAML: who may be compared with, and how");
  sub->add_option("--peer", o->peer, "with whom: a name in that file");
  sub->add_option("--set", o->set, "our items: CSV with the header family,value");
  sub->add_option("--from", o->from, "our items: of a finished scan's campaign");
  sub->add_option("--campaign", o->campaign, "which one; the result names it");
  sub->add_option("--lake", o->lake, "of that scan; default DIR/lake");
  sub->add_flag("--which", o->which, "which of ours, where both sides agree; without it, how many");
  sub->add_flag("--tell", o->tell, "tell the other side the numbers");
  sub->add_option("--out", o->out, "what is written: a message, or the result (JSON)");
  AddAlone(sub, &o->alone);
  sub->add_option("--note", o->note, "of propose: why, for who approves it");
  AddPersonToken(sub, &o->token_file);
  sub->add_option("--data", o->data, "folder of the service: keys, rations, audit log")
      ->capture_default_str();
  sub->add_option("--config", o->config, "configuration file that names the folder");
  sub->add_option("--threads", o->threads, "that compute")
      ->capture_default_str()
      ->check(CLI::Range(1, 256));
  sub->footer(
      "Example: stillwatch share compare run --peers peers.yaml --peer other --set items.csv --out "
      "result.json");
  sub->callback([=] { *code = Report(Command(*o).Run()); });
}

}  // namespace stillwatch::app
