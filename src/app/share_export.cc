// share export, preview, validate, key: what leaves, and whether what comes is whole.
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>

#include "app/chosen.h"
#include "app/command.h"
#include "app/share.h"
#include "app/share_answer.h"
#include "app/share_release.h"
#include "audit/log.h"
#include "base/json.h"
#include "base/str.h"
#include "base/text.h"
#include "base/time.h"
#include "dossier/read.h"
#include "share/candidates/candidates.h"
#include "share/indicator.h"
#include "share/stix/read.h"
#include "share/stix/write.h"

namespace stillwatch::app {
namespace {

using base::StrCat;

struct Options {
  std::string out = "stillwatch-out", lake, audience, key, to, previous, audit, at;
  std::string alone, note, token_file, sightings;
  Where where;
  ExportOptions write;
  std::vector<std::string> campaigns;
  bool revoke = false, json = false, suspected = false;
};

struct Made {
  model::Findings findings;
  std::vector<const model::Campaign*> chosen;
  std::optional<share::BlindingKey> key;
  std::optional<share::Release> release;
};

// That a source's indicators were seen here.
absl::Status MakeSightings(const Options& o, share::Audience audience, Made* made) {
  if (o.write.format != "stix")
    return absl::InvalidArgumentError("--sightings: of --format stix alone");
  auto local = OpenLocalState(o.where);
  if (!local.ok()) return local.status();
  auto seen = local->state->SeenOf(o.sightings);
  if (!seen.ok()) return seen.status();
  std::vector<share::Sighting> sightings;
  for (state::SeenHere& s : *seen) {
    if (!s.id.starts_with("indicator--")) continue;  // of a comparison, which has no id elsewhere
    share::Sighting& to = sightings.emplace_back();
    to.of = std::move(s.id), to.accounts = s.accounts, to.exchanges = s.exchanges;
    to.first_seen_ms = s.first_seen_ms, to.last_seen_ms = s.last_seen_ms;
  }
  auto release = share::GateSightings(std::move(sightings), audience);
  if (!release.ok()) return release.status();
  if (release->sightings().empty() && o.write.previous.empty())
    return absl::NotFoundError(StrCat("--sightings ", o.sightings,
                                      ": nothing of theirs was seen here often enough to say so"));
  made->release = *std::move(release);
  return absl::OkStatus();
}

absl::Status Make(const Options& o, Made* made) {
  const auto audience = share::AudienceNamed(o.audience);
  if (!audience) {
    return absl::InvalidArgumentError(
        StrCat("--audience: provider, cloud, government or public, not '", o.audience, "'"));
  }
  if (!o.sightings.empty()) return MakeSightings(o, *audience, made);
  if (!o.key.empty()) {
    auto key = ReadBlindingKey(o.key);
    if (!key.ok()) return key.status();
    made->key = *std::move(key);
  }
  auto findings = dossier::ReadFindings(o.out);
  if (!findings.ok()) return findings.status();
  made->findings = *std::move(findings);
  auto chosen = ChosenCampaigns(made->findings, o.campaigns, o.out, o.suspected);
  if (!chosen.ok()) return chosen.status();
  made->chosen = *std::move(chosen);
  std::unique_ptr<lake::Lake> lake;
  if (!made->chosen.empty()) {
    auto opened = OpenLake(o.lake.empty() ? o.out + "/lake" : o.lake, 4, true);
    if (!opened.ok()) return opened.status();
    lake = *std::move(opened);
  }
  auto release = Release(made->chosen, *audience, made->key ? &*made->key : nullptr, lake.get());
  if (!release.ok()) return release.status();
  made->release = *std::move(release);
  return absl::OkStatus();
}

int Preview(const Options& o) {
  Made made;
  if (absl::Status s = Make(o, &made); !s.ok()) return Report(s);
  if (o.json) {
    std::printf("%s\n", Summary(*made.release).c_str());
    return kOk;
  }
  if (made.chosen.empty())
    std::printf("nothing: no campaign of %s is a distillation\n", o.out.c_str());
  for (const model::Campaign* c : made.chosen) {
    const std::string key = share::CampaignKey(c->id);
    std::printf("%s (%s), for the audience %s as campaign %s:\n", c->name.c_str(), c->id.c_str(),
                o.audience.c_str(), key.c_str());
    for (const auto& r : made.release->campaigns()) {
      if (r.facts.key != key) continue;
      std::printf("  leaves  plain    its figures: about %s accounts, %s exchanges, whole days\n",
                  base::Grouped(r.facts.accounts).c_str(),
                  base::Grouped(r.facts.exchanges).c_str());
      for (const share::Item& i : r.items)
        std::printf("  leaves  %-8s %s %s\n", i.blinded() ? "blinded" : "plain",
                    share::ItemTypeName(i.type()), i.value().c_str());
      for (const auto& a : r.attribution)
        std::printf("  leaves  plain    attribution %s\n", a.name.c_str());
    }
  }
  for (const share::Kept& k : made.release->kept())
    std::printf("  stays   %-8s %s %s: %s\n", share::RuleName(k.rule),
                base::Grouped(k.count).c_str(), share::ItemTypeName(k.type), k.why.c_str());
  std::printf(
      "  stays   never    prompts, responses, prices, limits, volumes by customer and who "
      "customers "
      "are: nothing that leaves has a place for them\n");
  return kOk;
}

std::string Person() {
  const passwd* p = getpwuid(getuid());
  return StrCat("local:", p ? std::string(p->pw_name) : std::to_string(getuid()));
}

// In the audit log before anything is written: what is not recorded does not leave.
absl::Status Record(const Options& o, int64_t now_ms, const char* action,
                    const std::string& summary, const std::vector<ExportFile>& files,
                    const share::BlindingKey* key) {
  auto log = audit::AuditLog::Open(
      {o.audit.empty() ? o.out + "/audit" : o.audit, NowMs, "", audit::kSegmentBytes});
  if (!log.ok()) return log.status();
  std::string details;
  base::JsonWriter w(&details);
  w.BeginObject();
  w.Key("format");
  w.String(o.write.format);
  w.Key("issuer");
  w.String(o.write.issuer);
  w.Key("as_of");
  w.String(base::FormatRfc3339(now_ms));
  w.Key("blake2b");
  w.String(state::ExportDigest(files));
  w.Key("key");
  w.String(key ? key->id() : "");
  w.Key("alone");
  w.String(o.alone);
  w.EndObject();
  if (!summary.empty()) {
    details.pop_back();
    base::StrAppend(&details, ",\"release\":", summary, "}");
  }
  return (*log)->Append({NowMs(), Person(), action, o.to, details});
}

// For another person to approve: what `share fetch` will write.
absl::Status Propose(const Options& o, const Made& made, std::string summary,
                     const std::vector<ExportFile>& files) {
  auto local = OpenLocalState(o.where);
  if (!local.ok()) return local.status();
  state::Export e;
  e.kind = "bundle";
  for (const model::Campaign* c : made.chosen) {
    base::StrAppend(&e.campaign_id, e.campaign_id.empty() ? "" : ", ", c->id);
    base::StrAppend(&e.campaign_name, e.campaign_name.empty() ? "" : ", ", c->name);
  }
  // The summary has them all.
  for (std::string* text : {&e.campaign_id, &e.campaign_name})
    if (text->size() > state::kNameBytes) *text = StrCat(made.chosen.size(), " campaigns");
  e.audience = o.audience;
  if (o.revoke) {
    e.campaign_name = "revocation";
    e.audience = "who had it";
    summary = R"({"audience":"who had it","campaigns":[],"leaves":[],"stays":[]})";
  }
  e.issuer = o.write.issuer;
  e.note = o.note;
  e.summary = std::move(summary);
  return ProposeExport(&*local, o.token_file, std::move(e), files);
}

int Export(Options o) {
  if (o.to.empty() != o.alone.empty())
    return Report(absl::InvalidArgumentError(
        o.to.empty() ? "--to: name the file to write"
                     : "--to: what leaves is approved by another person first: leave --to out to "
                       "propose it (`share fetch` writes it then), or take it upon you with "
                       "--alone REASON"));
  o.write.now_ms = NowMs();
  if (!o.at.empty()) {
    const auto at = base::ParseRfc3339(o.at);
    if (!at) return Report(absl::InvalidArgumentError("--at: expected a time by RFC 3339"));
    o.write.now_ms = *at;
  }
  if (!o.previous.empty()) {
    auto previous = ReadWhole(o.previous, kBundleBytes);
    if (!previous.ok()) return Report(previous.status());
    o.write.previous = *std::move(previous);
    if (o.write.format != "stix")
      return Report(absl::InvalidArgumentError("--previous: of --format stix alone"));
  }
  std::vector<ExportFile> files;
  std::string summary;
  Made made;
  if (o.revoke) {
    if (o.previous.empty())
      return Report(absl::InvalidArgumentError("--revoke: name the bundle with --previous"));
    auto bundle = share::stix::Revoke({.issuer = o.write.issuer,
                                       .now_ms = o.write.now_ms,
                                       .tlp = o.write.tlp,
                                       .opinion = {},
                                       .previous = o.write.previous});
    if (!bundle.ok()) return Report(bundle.status());
    files.push_back({"", *std::move(bundle)});
  } else {
    if (absl::Status s = Make(o, &made); !s.ok()) return Report(s);
    if (made.chosen.empty() && o.sightings.empty() && o.previous.empty())
      return Report(absl::NotFoundError(
          StrCat(o.out, ": no campaign there is a distillation, and nothing was exported before")));
    if (made.release->campaigns().empty() && o.sightings.empty() && o.previous.empty())
      return Report(absl::NotFoundError(
          StrCat(o.out, ": nothing of it may leave; `share preview` says what stays and why")));
    auto rendered = Render(*made.release, o.write);
    if (!rendered.ok()) return Report(rendered.status());
    files = *std::move(rendered);
    summary = Summary(*made.release);
  }
  if (o.alone.empty()) return Report(Propose(o, made, std::move(summary), files));
  if (absl::Status s = Record(o, o.write.now_ms, o.revoke ? "share.revoke" : "share.export",
                              summary, files, made.key ? &*made.key : nullptr);
      !s.ok())
    return Report(s);
  if (absl::Status s = WriteExport(o.to, files); !s.ok()) return Report(s);
  if (o.to != "-") std::printf("%s\n", o.to.c_str());
  return kOk;
}

int Validate(const std::string& path, bool json) {
  const auto text = ReadWhole(path == "-" ? "/dev/stdin" : path, kBundleBytes);
  if (!text.ok()) return Report(text.status());
  const auto bundle = share::stix::Read(*text);
  if (!bundle.ok())
    return Report(absl::InvalidArgumentError(
        StrCat(path, ": ",
               std::string(bundle.status().message().data(), bundle.status().message().size()))));
  std::map<std::string, uint64_t> types;
  for (const auto& object : bundle->objects) ++types[object.type];
  uint64_t revoked = 0;
  for (const auto& i : bundle->indicators) revoked += i.revoked;
  if (json) {
    std::string out;
    base::JsonWriter w(&out);
    w.BeginObject();
    w.Key("id");
    w.String(bundle->id);
    w.Key("objects");
    w.BeginObject();
    for (const auto& [type, n] : types) {
      w.Key(type);
      w.Uint(n);
    }
    w.EndObject();
    w.Key("indicators");
    w.Uint(bundle->indicators.size());
    w.Key("indicators_revoked");
    w.Uint(revoked);
    w.Key("indicators_other");
    w.Uint(bundle->indicators_other);
    w.EndObject();
    std::printf("%s\n", out.c_str());
    return kOk;
  }
  std::printf("%s: valid STIX 2.1, %zu objects\n", path.c_str(), bundle->objects.size());
  for (const auto& [type, n] : types)
    std::printf("  %-22s %s\n", type.c_str(), base::Grouped(n).c_str());
  std::printf("  indicators to act on: %zu (%s revoked), of other kinds: %s\n",
              bundle->indicators.size(), base::Grouped(revoked).c_str(),
              base::Grouped(bundle->indicators_other).c_str());
  return kOk;
}

int MakeBlindingKey(const std::string& path) {
  const share::BlindingKey key = share::BlindingKey::Random();
  const std::string text = key.ToHex() + "\n";
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) {
    return Report(absl::InvalidArgumentError(
        StrCat(path, ": ", std::strerror(errno), "; name a file that is not there yet")));
  }
  const bool ok = write(fd, text.data(), text.size()) == ssize_t(text.size()) && fsync(fd) == 0;
  close(fd);
  if (!ok) {
    unlink(path.c_str());
    return Report(absl::InvalidArgumentError(StrCat(path, ": cannot be written")));
  }
  std::printf("%s\n", key.id().c_str());
  return kOk;
}

}  // namespace

void AddShareExport(CLI::App* share, int* code) {
  auto o = std::make_shared<Options>();
  const auto source = [&](CLI::App* sub) {
    sub->add_option("--out-of", o->out, "folder of the scan")->capture_default_str();
    sub->add_option("--lake", o->lake, "the scan's lake [OUT-OF/lake]");
    sub->add_option("--audience", o->audience, "provider, cloud, government or public")->required();
    sub->add_option("--key", o->key, "the group's key, for values that can be guessed");
    sub->add_flag("--suspected", o->suspected,
                  "what is unresolved too: its scaffold, rhythm and figures, as a suspicion");
    sub->add_option("CAMPAIGN", o->campaigns,
                    "ids or names; every distillation when none is named");
  };
  auto* write = share->add_subcommand(
      "export",
      "propose that what may leave does, or write it alone; recorded before it is written");
  source(write);
  write->get_option("--audience")->required(false);  // not for --revoke
  write->add_option("--issuer", o->write.issuer, "who says so, as others know the organisation")
      ->required();
  write->add_option("--format", o->write.format, "stix, misp-event or misp-feed")
      ->capture_default_str();
  AddAlone(write, &o->alone);
  write->add_option("--to", o->to,
                    "with --alone: file to write; folder of a misp-feed; - for stdout");
  write->add_option("--sightings", o->sightings,
                    "instead: that indicators of this source were seen here, to tell it so");
  write->add_option("--note", o->note, "why it should leave, for who approves it");
  AddPersonToken(write, &o->token_file);
  AddPlace(write, &o->where);
  write->add_option("--previous", o->previous,
                    "the bundle issued before: what no longer holds is revoked");
  write->add_flag("--revoke", o->revoke, "revoke all of --previous");
  write->add_option("--tlp", o->write.tlp,
                    "clear, green, amber, amber+strict or red [public: clear, else amber]");
  write->add_option("--opinion", o->write.opinion,
                    "of the person who reviewed it: strongly-disagree to strongly-agree");
  write->add_option("--at", o->at, "time of this version, RFC 3339 [now]");
  write->add_option("--audit", o->audit, "with --alone: folder of the audit log [OUT-OF/audit]");
  write->footer(
      "Example: stillwatch share export --out-of stillwatch-out --audience provider --issuer "
      "'Provider A' --note 'they asked on Monday'");
  write->callback([=] { *code = Export(*o); });

  auto* preview =
      share->add_subcommand("preview", "say exactly what would leave, what stays, and why");
  source(preview);
  preview->add_flag("--json", o->json, "counts, as JSON");
  preview->footer("Example: stillwatch share preview --out-of stillwatch-out --audience cloud");
  preview->callback([=] { *code = Preview(*o); });

  auto* validate = share->add_subcommand("validate", "check a STIX 2.1 bundle whole");
  auto bundle = std::make_shared<std::string>();
  validate->add_option("FILE", *bundle, "a bundle; - for stdin")->required();
  validate->add_flag("--json", o->json, "counts, as JSON");
  validate->footer("Example: stillwatch share validate bundle.json");
  validate->callback([=] { *code = Validate(*bundle, o->json); });

  auto* make = share->add_subcommand(
      "key", "make a key under which guessable values leave; the peers of a group hold the same");
  auto file = std::make_shared<std::string>();
  make->add_option("FILE", *file, "a file that is not there yet")->required();
  make->footer("Example: stillwatch share key group.key");
  make->callback([=] { *code = MakeBlindingKey(*file); });
}

}  // namespace stillwatch::app
