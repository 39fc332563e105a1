// The smaller subcommands: explain, link, query, sketch, lake.
#include <simdjson.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>

#include "app/command.h"
#include "app/scratch_engine.h"
#include "base/hash.h"
#include "base/str.h"
#include "dossier/outputs.h"
#include "dossier/read.h"
#include "ingest/formats/log.h"
#include "ingest/jsonl/canonical.h"
#include "ingest/jsonl/side_files.h"
#include "lake/embedded/embedded_lake.h"
#include "lake/host/host.h"
#include "link/pools.h"
#include "sketch/sketcher.h"

namespace stillwatch::app {
namespace {

using base::StrCat;

absl::Status Explain(const std::string& id, const std::string& out) {
  const auto findings = dossier::ReadFindings(out);
  if (!findings.ok()) return findings.status();
  const auto campaign = [&](const model::Campaign& c, bool full) {
    std::printf("%s (%s): %s, %s (probability %.3f); runner-up: %s (%.3f)\n%s\n", c.name.c_str(),
                c.id.c_str(), model::VerdictName(c.verdict),
                model::LikelihoodWords(c.probability), c.probability,
                model::VerdictName(c.rival.verdict), c.rival.probability, c.summary.c_str());
    if (!full) return;
    for (const bool against : {false, true}) {
      std::printf("\n%s\n", against ? "What speaks against it:" : "Why it is here:");
      bool any = false;
      for (const model::Evidence& e : c.evidence) {
        if ((e.bits < 0) != against) continue;
        any = true;
        std::printf("  %+5.1f bits  %-9s %s\n", e.bits, model::FamilyName(e.family),
                    e.statement.c_str());
      }
      if (!any) std::printf("  nothing measured\n");
    }
    std::printf("\nWhat would change the verdict:\n  %s\n", c.would_change.c_str());
    std::printf("\nTo recompute a figure: stillwatch query --lake %s/lake \"...\"\n", out.c_str());
    for (const auto& [figure, sql] : c.queries)
      std::printf("  %s: %s\n", figure.c_str(), sql.c_str());
  };
  bool found = false;
  for (const model::Campaign& c : findings->campaigns) {
    if (c.id != id && c.name != id) continue;
    campaign(c, true);
    found = true;
  }
  if (found) return absl::OkStatus();
  for (const model::Campaign& c : findings->campaigns) {
    for (const model::CampaignMember& m : c.members) {
      if (m.account_id != id) continue;
      std::printf("%sAccount %s: %s in campaign %s.\n%s\n", found ? "\n" : "", id.c_str(),
                  m.verdict.c_str(), c.id.c_str(), m.why.c_str());
      campaign(c, false);
      found = true;
    }
  }
  if (found) return absl::OkStatus();
  return absl::NotFoundError(
      StrCat(id, ": no campaign of ", out,
             " has this id or name and no account of this id is in one; an account that "
             "is in no campaign has nothing against it"));
}

absl::Status Link(const std::string& traits_path, const std::string& out_path) {
  auto rows = ingest::ReadTraits(traits_path);
  if (!rows.ok()) return rows.status();
  static const std::map<std::string, model::Family> kFamilies = {
      {"network", model::Family::kNetwork},
      {"address", model::Family::kNetwork},
      {"client", model::Family::kClient},
      {"enrolment", model::Family::kEnrolment},
      {"payment", model::Family::kPayment}};
  std::map<std::string, uint32_t> number;
  for (const auto& r : *rows) number.emplace(r.account_id, 0);
  uint32_t n = 0;
  for (auto& [id, i] : number) i = n++;
  std::vector<link::Trait> traits;
  for (const auto& r : *rows) {
    const auto it = kFamilies.find(r.family);
    // A family of the user's own links like enrolment does.
    const auto family = it == kFamilies.end() ? model::Family::kEnrolment : it->second;
    traits.push_back({number[r.account_id], family,
                      base::Combine64(base::Hash64(r.family), base::Hash64(r.value))});
  }
  std::vector<uint32_t> entity(n);
  for (uint32_t i = 0; i < n; ++i) entity[i] = i;
  const link::PoolOptions options;
  const auto graph = link::BuildGraph(std::move(traits), entity, n, options);
  const auto pools = link::FindPools(graph, {}, options);
  std::map<uint32_t, std::string> name;
  std::string csv = "account_id,pool_id\n";
  for (const auto& [id, i] : number) {
    dossier::AppendCsv(id, &csv);
    csv += ",";
    if (pools[i] != link::kNone) {
      char text[32];
      std::snprintf(text, sizeof text, "pool_%012llx",
                    static_cast<unsigned long long>(base::Hash64(id) >> 16));
      csv += name.emplace(pools[i], text).first->second;
    }
    csv += "\n";
  }
  if (absl::Status s = dossier::WriteWhole(out_path, csv); !s.ok()) return s;
  std::printf("%u accounts, %zu links, %zu pools -> %s\n", n, graph.links.size(), name.size(),
              out_path.c_str());
  return absl::OkStatus();
}

absl::Status Sketch(const std::vector<std::string>& logs, const std::string& format) {
  auto log = ingest::Log::Plan(logs, format, &g_stop);
  if (!log.ok()) return log.status();
  ScratchEngine engine;
  if (log->needs_engine()) {
    std::error_code error;
    const std::string folder = std::filesystem::temp_directory_path(error).string();
    if (error)
      return absl::InvalidArgumentError(StrCat("TMPDIR: ", error.message(), "; name a folder"));
    if (absl::Status s = engine.Open(folder, 1); !s.ok()) return s;
  }
  for (const std::string& why : log->recognised()) SayNote(why);
  auto opened = log->Open(engine.lake(), {.now_ms = NowMs(), .note = SayNote});
  if (!opened.ok()) return opened.status();
  const std::unique_ptr<ingest::Source> source = *std::move(opened);
  for (const std::string& why : log->recognised()) SayNote(why);
  // One worker: the order of lines is kept.
  sketch::Sketcher sketcher;
  model::Sketch made;
  std::string buffer;
  uint64_t rejected = 0, written = 0;
  const auto flush = [&]() -> absl::Status {
    if (std::fwrite(buffer.data(), 1, buffer.size(), stdout) != buffer.size()) {
      const int error = errno;
      if (error == EPIPE) return absl::AbortedError("");  // who reads no further has what it wanted
      return absl::InvalidArgumentError(
          StrCat("standard output: cannot be written: ", std::strerror(error)));
    }
    written += buffer.size();
    buffer.clear();
    return absl::OkStatus();
  };
  ingest::Sink sink;
  sink.exchange = [&](int, const model::ExchangeView& e) -> absl::Status {
    const model::Sketch* s = e.has_sketch ? &e.sketch : nullptr;
    if (e.has_text) {
      sketcher.Sketch(e.system, e.turn, e.response, e.tools, e.messages, &made);
      s = &made;
    }
    ingest::AppendCanonical(e, s, &buffer);
    buffer.push_back('\n');
    return buffer.size() > (1u << 20) ? flush() : absl::OkStatus();
  };
  sink.reject = [&](model::Reject r) -> absl::Status {
    ++rejected;
    std::fprintf(stderr, "stillwatch: %s:%llu: %s\n", r.source.c_str(),
                 static_cast<unsigned long long>(r.line), r.reason.c_str());
    return absl::OkStatus();
  };
  absl::Status s = source->Read(1, sink, nullptr, &g_stop);
  if (s.ok()) s = flush();
  if (absl::IsAborted(s)) return absl::OkStatus();
  if (s.ok() && written == 0 && rejected > 0)
    return absl::InvalidArgumentError(StrCat("none of the ", rejected, " records could be used"));
  return s;
}

}  // namespace

void AddExplain(CLI::App& app, int* code) {
  auto* sub = app.add_subcommand(
      "explain", "Why an account or a campaign is here, and what speaks against it");
  auto id = std::make_shared<std::string>(), out = std::make_shared<std::string>("stillwatch-out");
  sub->add_option("ID", *id, "account id, campaign id or campaign name")->required();
  sub->add_option("--out", *out, "folder of a finished scan")->capture_default_str();
  sub->footer("Example: stillwatch explain amber-otter --out stillwatch-out");
  sub->callback([=] { *code = Report(Explain(*id, *out)); });
}

void AddLink(CLI::App& app, int* code) {
  auto* sub = app.add_subcommand("link", "Traits in, pools out: for use on other data");
  auto traits = std::make_shared<std::string>(), out = std::make_shared<std::string>();
  sub->add_option("--traits", *traits, "CSV account_id,family,value[,ts]")->required();
  sub->add_option("--out", *out, "CSV account_id,pool_id")->required();
  sub->footer("Example: stillwatch link --traits traits.csv --out pools.csv");
  sub->callback([=] { *code = Report(Link(*traits, *out)); });
}

void AddQuery(CLI::App& app, int* code) {
  auto* sub = app.add_subcommand("query", "Read-only SQL over the lake");
  auto lake = std::make_shared<std::string>("stillwatch-out/lake"),
       sql = std::make_shared<std::string>(),
       format = std::make_shared<std::string>("PrettyCompactMonoBlock");
  sub->add_option("--lake", *lake, "folder or URL of the lake")->capture_default_str();
  sub->add_option("--output-format", *format, "a ClickHouse output format")->capture_default_str();
  sub->add_option("SQL", *sql, "one SELECT")->required();
  sub->footer("Example: stillwatch query \"SELECT model, count() FROM exchanges GROUP BY model\"");
  sub->callback([=] {
    auto opened = OpenLake(*lake, 4, true);
    if (!opened.ok()) {
      *code = Report(opened.status());
      return;
    }
    auto answer = (*opened)->Report(*sql, *format);
    if (answer.ok()) std::fwrite(answer->data(), 1, answer->size(), stdout);
    *code = Report(answer.status());
  });
}

void AddSketch(CLI::App& app, int* code) {
  auto* sub = app.add_subcommand("sketch", "Turn a log with text into one that carries sketches");
  auto logs = std::make_shared<std::vector<std::string>>();
  auto format = std::make_shared<std::string>("auto");
  sub->add_option("LOG", *logs, "files, globs, - for stdin, URLs; .gz and .zst as they are")
      ->required();
  sub->add_option("--format", *format, ingest::FormatNames() + " or FILE.sql")
      ->capture_default_str();
  sub->footer("Example: stillwatch sketch exchanges.jsonl.zst > sketched.jsonl");
  sub->callback([=] { *code = Report(Sketch(*logs, *format)); });
}

void AddLake(CLI::App& app, int* code) {
  auto* sub = app.add_subcommand("lake", "Make, describe or remove a lake");
  sub->require_subcommand(1);
  auto where = std::make_shared<std::string>("stillwatch-out/lake");
  auto* init = sub->add_subcommand("init", "create the tables, migrate older ones");
  auto* status = sub->add_subcommand("status", "what it holds");
  auto* drop = sub->add_subcommand("drop", "remove the lake and all it holds");
  for (auto* s : {init, status, drop})
    s->add_option("--lake", *where, "folder or URL of the lake")->capture_default_str();
  sub->footer("Example: stillwatch lake status --lake stillwatch-out/lake");
  for (auto* s : {init, status, drop})
    s->footer("Example: stillwatch lake " + s->get_name() + " --lake stillwatch-out/lake");
  // Internal: serve's child that holds the embedded lake.
  auto* host = sub->add_subcommand("host", "serve a folder's lake on a socket");
  host->group("");
  auto served = std::make_shared<lake::HostOptions>();
  host->add_option("--lake", served->lake.path, "folder of the lake")->required();
  host->add_option("--socket", served->socket, "made with mode 0600")->required();
  host->add_option("--threads", served->lake.threads, "of one statement")->capture_default_str();
  // The starter's own number: asked for here, the parent might have died and been replaced already.
  host->add_option("--die-with-parent", served->parent, "end when this process is not the parent")
      ->type_name("PID");
  host->footer("Example: stillwatch lake host --lake out/lake --socket lake.sock");
  host->callback([=] {
    served->stop = &g_stop;
    // A terminal's ctrl-C reaches children too; the parent decides when this one ends.
    if (served->parent != 0) std::signal(SIGINT, SIG_IGN);
    const auto drained = lake::HostLake(*served);
    *code = Report(drained.status());
    if (drained.ok() && !*drained) std::_Exit(kOk);  // what was acknowledged is kept
  });
  init->callback([=] { *code = Report(OpenLake(*where, 4, false).status()); });
  status->callback([=] {
    auto lake = OpenLake(*where, 4, true);
    if (!lake.ok()) {
      *code = Report(lake.status());
      return;
    }
    auto use = (*lake)->Use();
    if (use.ok()) {
      std::printf("%-16s %15s %15s\n", "table", "rows", "bytes");
      for (const auto& [table, u] : *use) {
        std::printf("%-16s %15llu %15llu\n", table.c_str(), static_cast<unsigned long long>(u.rows),
                    static_cast<unsigned long long>(u.bytes));
      }
    }
    *code = Report(use.status());
  });
  drop->callback([=] {
    if (lake::IsLakeUrl(*where)) {
      const auto options = ServedLake(*where);
      *code = Report(options.ok() ? lake::DropCluster(*options) : options.status());
      return;
    }
    *code = Report(lake::DropEmbedded(*where));
    if (*code == kOk && std::filesystem::exists(*where)) {
      std::fprintf(stderr, "stillwatch: note: %s stays: it holds files that are not the lake's\n",
                   where->c_str());
    }
  });
}

}  // namespace stillwatch::app
