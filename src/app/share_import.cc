// share import | revoke | sources | imports | sightings: what others shared, in the service's
// state.
#include <cstdio>
#include <memory>

#include "app/command.h"
#include "app/indicators.h"
#include "app/share.h"
#include "app/share_answer.h"
#include "app/state_dir.h"
#include "base/str.h"
#include "base/text.h"
#include "base/time.h"

namespace stillwatch::app {
namespace {

using base::StrCat;

absl::Status Import(const Where& where, const std::string& file, const std::string& source,
                    const std::string& issuer) {
  // Read before anything is opened: a bad bundle changes nothing.
  auto rows = ReadBundle(file);
  if (!rows.ok()) return rows.status();
  auto local = OpenLocalState(where);
  if (!local.ok()) return local.status();
  return TakeRows(*local, source, issuer, *std::move(rows), nullptr);
}

absl::Status Revoke(const Where& where, const std::string& source, const std::string& id) {
  auto local = OpenLocalState(where);
  if (!local.ok()) return local.status();
  auto n = local->state->RevokeImports(source, id, local->actor);
  if (!n.ok()) return n.status();
  std::printf("%llu indicators of %s act no more; a running service knows within a second\n",
              static_cast<unsigned long long>(*n), source.c_str());
  return absl::OkStatus();
}

absl::Status Sources(const Where& where, const std::string& name, const std::string& grade,
                     const std::string& note) {
  auto local = OpenLocalState(where);
  if (!local.ok()) return local.status();
  if (!name.empty()) {
    if (grade.size() != 1)
      return absl::InvalidArgumentError(
          "--reliability: expected A (reliable) to F (cannot be judged)");
    auto s = local->state->GradeSource(name, grade[0], note, local->actor);
    if (!s.ok()) return s.status();
  } else if (!grade.empty() || !note.empty()) {
    return absl::InvalidArgumentError("share sources: name the SOURCE that is to be graded");
  }
  auto all = local->state->ImportSources();
  if (!all.ok()) return all.status();
  std::printf("%-24s %-5s %10s %8s %8s %8s %9s %6s %6s %7s  %s\n", "source", "grade", "indicators",
              "active", "expired", "revoked", "campaigns", "right", "wrong", "share",
              "last import");
  for (const auto& s : *all) {
    const uint64_t judged = s.right + s.wrong;
    std::printf(
        "%-24s %-5c %10llu %8llu %8llu %8llu %9llu %6llu %6llu %7s  %s\n", s.name.c_str(),
        s.reliability, static_cast<unsigned long long>(s.indicators),
        static_cast<unsigned long long>(s.active), static_cast<unsigned long long>(s.expired),
        static_cast<unsigned long long>(s.revoked), static_cast<unsigned long long>(s.campaigns),
        static_cast<unsigned long long>(s.right), static_cast<unsigned long long>(s.wrong),
        judged == 0 ? "-" : base::Percent(double(s.right) / double(judged)).c_str(),
        base::FormatRfc3339(s.last_ms).c_str());
  }
  return absl::OkStatus();
}

absl::Status List(const Where& where, const state::State::ImportQuery& query, bool json) {
  auto local = OpenLocalState(where);
  if (!local.ok()) return local.status();
  if (json) {
    auto active = local->state->GetActiveImports();
    if (!active.ok()) return active.status();
    std::fputs(IndicatorsJson(active->rows).c_str(), stdout);
    return absl::OkStatus();
  }
  std::printf("%-24s %-5s %-16s %-26s %6s  %s\n", "source", "grade", "type", "until", "hits", "id");
  for (size_t offset = 0;; offset += state::kPageRows) {
    auto page = local->state->ListImports(query, {offset, state::kPageRows});
    if (!page.ok()) return page.status();
    for (const auto& i : page->rows) {
      const std::string until = i.revoked ? "revoked"
                                : i.valid_until_ms == INT64_MAX
                                    ? "-"
                                    : base::FormatRfc3339(i.valid_until_ms);
      std::printf("%-24s %c%-4d %-16s %-26s %6llu  %s\n", i.source.c_str(), i.reliability,
                  i.credibility, i.type.c_str(), until.c_str(),
                  static_cast<unsigned long long>(i.hits), i.id.c_str());
    }
    if (offset + page->rows.size() >= page->total) return absl::OkStatus();
  }
}

absl::Status Sightings(const Where& where, const std::string& source) {
  auto local = OpenLocalState(where);
  if (!local.ok()) return local.status();
  std::printf("%-24s %12s  %-26s %-26s %s\n", "source", "exchanges", "first", "last", "of");
  for (size_t offset = 0;; offset += state::kPageRows) {
    auto page = local->state->ListSightings(source, {offset, state::kPageRows});
    if (!page.ok()) return page.status();
    for (const auto& s : page->rows)
      std::printf("%-24s %12llu  %-26s %-26s %s\n", s.source.c_str(),
                  static_cast<unsigned long long>(s.exchanges),
                  s.first_seen_ms == 0 ? "-" : base::FormatRfc3339(s.first_seen_ms).c_str(),
                  s.last_seen_ms == 0 ? "-" : base::FormatRfc3339(s.last_seen_ms).c_str(),
                  s.of.c_str());
    if (offset + page->rows.size() >= page->total) return absl::OkStatus();
  }
}

}  // namespace

absl::Status TakeRows(LocalState& local, const std::string& source, const std::string& issuer,
                      ImportRows rows, const state::ImportMark* mark) {
  const auto another = [&](const auto& i) { return !issuer.empty() && i.source != issuer; };
  const size_t others = std::erase_if(rows.indicators, another);
  std::erase_if(rows.sightings, another);
  auto n = local.state->Import(source, rows.indicators, local.actor, mark, rows.sightings);
  if (!n.ok()) return n.status();
  std::printf(
      "%llu new, %llu changed, %llu revoked, %llu as they were",
      static_cast<unsigned long long>(n->added), static_cast<unsigned long long>(n->updated),
      static_cast<unsigned long long>(n->revoked), static_cast<unsigned long long>(n->unchanged));
  if (others > 0) std::printf("; %zu by others than %s", others, issuer.c_str());
  if (n->sightings > 0)
    std::printf("; %llu sightings", static_cast<unsigned long long>(n->sightings));
  if (rows.other > 0) {
    std::printf("; %llu patterns of other kinds are not acted on",
                static_cast<unsigned long long>(rows.other));
  }
  std::printf("\n");
  return absl::OkStatus();
}

void AddShareImport(CLI::App* share, int* code) {
  auto where = std::make_shared<Where>();
  auto file = std::make_shared<std::string>(), source = std::make_shared<std::string>(),
       id = std::make_shared<std::string>(), grade = std::make_shared<std::string>(),
       note = std::make_shared<std::string>(), issuer = std::make_shared<std::string>();
  auto query = std::make_shared<state::State::ImportQuery>();
  auto json = std::make_shared<bool>(false);

  auto* take = share->add_subcommand(
      "import", "take a STIX bundle of others in: all of it or nothing, and nothing twice");
  take->add_option("FILE", *file, "the bundle (JSON)")->required();
  take->add_option("--source", *source, "who it came from, as you call them")->required();
  take->add_option("--issuer", *issuer,
                   "only what this identity says, of a collection that holds the words of many");
  AddPlace(take, where.get());
  take->footer("Example: stillwatch share import bundle.json --source northwind");
  take->callback([=] { *code = Report(Import(*where, *file, *source, *issuer)); });

  auto* revoke =
      share->add_subcommand("revoke", "stop acting on what a source said, at once and for good");
  revoke->add_option("SOURCE", *source, "as `share sources` shows it")->required();
  revoke->add_option("ID", *id,
                     "STIX id of an indicator or a campaign; default: all of the source");
  AddPlace(revoke, where.get());
  revoke->footer("Example: stillwatch share revoke northwind campaign--1c2d...");
  revoke->callback([=] { *code = Report(Revoke(*where, *source, *id)); });

  auto* sources = share->add_subcommand(
      "sources", "who shared what, how it is graded and how often it was right here");
  sources->add_option("SOURCE", *source, "grade this one first");
  sources->add_option("--reliability", *grade, "A (reliable) to F (cannot be judged)");
  sources->add_option("--note", *note, "why");
  AddPlace(sources, where.get());
  sources->footer(
      "Example: stillwatch share sources northwind --reliability B --note 'right in 9 of 11'");
  sources->callback([=] { *code = Report(Sources(*where, *source, *grade, *note)); });

  auto* list = share->add_subcommand("imports", "indicators that others shared");
  list->add_option("--source", query->source, "of one source");
  list->add_option("--type", query->type, "of one type: template-sketch, payment, ...");
  list->add_option("--status", query->status, "active, expired, revoked or waiting");
  list->add_flag("--json", *json, "those that act, for scan --indicators");
  AddPlace(list, where.get());
  list->footer("Example: stillwatch share imports --status active");
  list->callback([=] { *code = Report(List(*where, *query, *json)); });

  auto* seen = share->add_subcommand("sightings", "what others say they saw in their own traffic");
  seen->add_option("--source", query->source, "of one source");
  AddPlace(seen, where.get());
  seen->footer("Example: stillwatch share sightings --source northwind");
  seen->callback([=] { *code = Report(Sightings(*where, query->source)); });
}

}  // namespace stillwatch::app
