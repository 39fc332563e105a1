// stillwatch audit verify | key
#include <chrono>
#include <thread>

#include "app/command.h"
#include "audit/log.h"
#include "audit/verify.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/str.h"
#include "dossier/archive.h"
#include "serve/http/tokens.h"

namespace stillwatch::app {
namespace {

using base::StrCat;

std::string ToJson(const audit::AuditReport& r) {
  std::string out;
  base::JsonWriter w(&out);
  w.BeginObject();
  w.Key("ok"), w.Bool(r.ok());
  w.Key("segments"), w.Uint(r.segments);
  w.Key("records"), w.Uint(r.records);
  w.Key("head"), w.String(StrCat(r.head.seq, ":", r.head.hash));
  w.Key("signed_through"), w.Uint(r.signed_through);
  w.Key("signed_by"), w.String(r.signed_by);
  w.Key("findings_total"), w.Uint(r.findings_total);
  w.Key("findings"), w.BeginArray();
  for (const auto& f : r.findings) {
    w.BeginObject();
    w.Key("segment"), w.String(f.segment);
    w.Key("line"), w.Uint(f.line);
    w.Key("offset"), w.Uint(f.offset);
    w.Key("seq"), w.Uint(f.seq);
    w.Key("what"), w.String(f.what);
    w.EndObject();
  }
  w.EndArray();
  w.Key("notes"), w.BeginArray();
  for (const std::string& n : r.notes) w.String(n);
  w.EndArray();
  w.EndObject();
  return out + "\n";
}

int Verify(const std::string& dir, const std::vector<std::string>& anchors,
           const std::string& public_key, bool json) {
  audit::VerifyOptions options;
  for (const std::string& a : anchors) {
    auto head = audit::ParseAnchor(a);
    if (!head.ok()) return Report(head.status());
    options.anchors.push_back(*head);
  }
  if (!public_key.empty()) {
    const auto key = serve::ParseTokenHash(public_key);  // 32 bytes in hexadecimal
    if (!key) return Report(absl::InvalidArgumentError("--public-key: expected 64 hex digits"));
    options.public_key.assign(key->begin(), key->end());
  }
  auto report = audit::VerifyAudit(dir, options);
  // A service may be writing: what looks unfinished is looked at again.
  for (int i = 0; i < 3 && report.ok() && report->findings_total == 1 &&
                  report->findings[0].what == "an unfinished record";
       ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    report = audit::VerifyAudit(dir, options);
  }
  if (!report.ok()) return Report(report.status());
  if (json) {
    std::fputs(ToJson(*report).c_str(), stdout);
    return report->ok() ? kOk : kUsage;
  }
  for (const auto& f : report->findings) {
    std::printf("%s:%llu: (byte %llu) %s\n", f.segment.empty() ? "log" : f.segment.c_str(),
                static_cast<unsigned long long>(f.line), static_cast<unsigned long long>(f.offset),
                f.what.c_str());
  }
  for (const std::string& n : report->notes) std::printf("note: %s\n", n.c_str());
  std::printf("%llu records in %llu segments, %llu to %llu\n",
              static_cast<unsigned long long>(report->records),
              static_cast<unsigned long long>(report->segments),
              static_cast<unsigned long long>(report->first.seq),
              static_cast<unsigned long long>(report->head.seq));
  if (report->records > 0) {
    std::printf(
        "head %llu:%s (keep it elsewhere: --anchor shows later that nothing up to it changed)\n",
        static_cast<unsigned long long>(report->head.seq), report->head.hash.c_str());
  }
  if (report->signed_through > 0) {
    std::printf("signed through record %llu by %s\n",
                static_cast<unsigned long long>(report->signed_through), report->signed_by.c_str());
  }
  if (report->ok()) {
    std::printf("verified: nothing was changed, removed, reordered or inserted\n");
    return kOk;
  }
  std::fprintf(stderr,
               "stillwatch: audit log %s: %llu breaches; do not rely on what is beside them\n",
               dir.c_str(), static_cast<unsigned long long>(report->findings_total));
  return kUsage;
}

int MakeKey(const std::string& path) {
  if (absl::Status made = dossier::MakeKey(path); !made.ok()) return Report(made);
  const auto key = dossier::ReadPublicKey(path + ".pub");
  if (!key.ok()) return Report(key.status());
  std::printf("%s\n", base::Hex(*key).c_str());
  return kOk;
}

}  // namespace

void AddAudit(CLI::App& app, int* code) {
  auto* sub = app.add_subcommand("audit", "Check the audit log, make a key that signs it");
  sub->require_subcommand(1);
  auto* verify = sub->add_subcommand(
      "verify", "Find any record that was changed, removed, reordered or inserted");
  auto dir = std::make_shared<std::string>("/var/lib/stillwatch/audit");
  auto key = std::make_shared<std::string>();
  auto anchors = std::make_shared<std::vector<std::string>>();
  auto json = std::make_shared<bool>(false);
  verify->add_option("DIR", *dir, "folder of the log")->capture_default_str();
  verify->add_option("--anchor", *anchors, "NUMBER:HASH of a head that was kept; may be repeated");
  verify->add_option("--public-key", *key, "64 hex digits: this key must have signed it");
  verify->add_flag("--json", *json, "print JSON");
  verify->footer("Example: stillwatch audit verify /var/lib/stillwatch/audit");
  verify->callback([=] { *code = Verify(*dir, *anchors, *key, *json); });
  auto* make =
      sub->add_subcommand("key", "Write a new signing key and FILE.pub, print its public half");
  auto file = std::make_shared<std::string>();
  make->add_option("FILE", *file, "a file that is not there yet")->required();
  make->footer("Example: stillwatch audit key /etc/stillwatch/audit.key");
  make->callback([=] { *code = MakeKey(*file); });
}

}  // namespace stillwatch::app
