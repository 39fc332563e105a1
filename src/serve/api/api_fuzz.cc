// Any requests to the API over a state of its own: "METHOD target", a line; then the body, up to a
// NUL, the next. What stands behind a form feed is what the lake answers. Every answer has a status
// that there is and a body of its type, and the audit log holds together.
#include <simdjson.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>

#include "audit/verify.h"
#include "base/str.h"
#include "serve/api/api.h"

namespace {

using namespace stillwatch;
namespace fs = std::filesystem;

constexpr int kInputs = 20;  // of one state, which keeps answers and networks

class World {
 public:
  World() {
    fs::remove_all(dir_);
    auto log =
        audit::AuditLog::Open({dir_ + "/audit", [] { return kNow; }, "", audit::kSegmentBytes});
    if (!log.ok()) std::abort();
    log_ = *std::move(log);
    auto state = state::State::Open({dir_ + "/state", log_.get(), [] { return kNow; }, 100});
    if (!state.ok()) std::abort();
    state_ = *std::move(state);
    state::PassResult pass;
    pass.pass = {0, kNow, kNow, 0, kNow, R"({"exchanges":9})"};
    state::PassResult::Changed& changed = pass.campaigns.emplace_back();
    changed.campaign.id = changed.campaign.finding_id = "c1";
    changed.campaign.name = "amber-otter", changed.campaign.status = "current";
    changed.campaign.verdict = "distillation";
    changed.campaign.json = R"({"templates":[{"id":"tpl_1","exchanges":9,"hashes":[7,8,9]}]})";
    changed.members_given = true;
    for (const char* id : {"acct-1", "acct-2", "acct-3"})
      changed.members.push_back({id, "pool_a", "distillation", "why", .9, 5, 4});
    if (!state_->RecordPass(pass).ok()) std::abort();
    serve::ApiContext c;
    c.state = state_.get();
    c.audit = log_.get();
    c.now_ms = [] { return kNow; };
    c.try_policy = [](const respond::Policy&) { return serve::TriedPolicy{5, "{}"}; };
    c.report = [this](std::string_view, std::string_view, const lake::ReportBounds&) {
      return absl::StatusOr<std::string>(answer);
    };
    c.share = [](const serve::ShareAsk& ask) -> absl::StatusOr<serve::Shared> {
      if (ask.campaign != "c1") return absl::NotFoundError("campaign: none with this id");
      serve::Shared out;
      out.campaign_name = "amber-otter", out.summary = "{}", out.items = "[]";
      if (!ask.issuer.empty()) out.bundle = "{}";
      return out;
    };
    c.decisions = [] { return std::vector<serve::DecisionCount>{{"deny", "list", false, 1}}; };
    c.ingest = [] { return std::string("{}"); };
    serve::AddApiRoutes(&router, c);
    for (auto [name, to] : {std::pair("ada", &people[0]), {"bob", &people[1]}}) {
      to->name = name;
      to->roles = serve::kAllRoles;
    }
  }
  ~World() {
    router = serve::Router();
    state_.reset();
    log_.reset();
    const auto report = audit::VerifyAudit(dir_ + "/audit");
    if (!report.ok() || !report->ok()) std::abort();
    fs::remove_all(dir_);
  }

  serve::Router router;
  serve::Principal people[2];  // as what one proposes the other approves
  std::string answer;

 private:
  static constexpr int64_t kNow = 1'780'000'000'000;
  const std::string dir_ = base::StrCat(fs::temp_directory_path().string(), "/api-fuzz-", getpid());
  std::unique_ptr<audit::AuditLog> log_;
  std::unique_ptr<state::State> state_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static std::unique_ptr<World> world;
  static int inputs = 0;
  if (inputs++ % kInputs == 0) {
    world.reset();
    world = std::make_unique<World>();
  }
  std::string_view all(reinterpret_cast<const char*>(data), size);
  const size_t behind = std::min(all.find('\f'), all.size());
  world->answer = behind < all.size() ? all.substr(behind + 1) : std::string_view();
  all = all.substr(0, behind);
  simdjson::dom::parser parser;
  for (int n = 0; n < 8 && !all.empty(); ++n) {
    const std::string_view one = all.substr(0, all.find('\0'));
    all.remove_prefix(std::min(all.size(), one.size() + 1));
    const std::string_view line = one.substr(0, one.find('\n'));
    const std::string_view method = line.substr(0, line.find(' '));
    const std::string target =
        base::StrCat("/api/v1/", line.substr(std::min(line.size(), method.size() + 1)));
    serve::HttpRequest r;
    r.method = method;
    r.target = target;
    const size_t question = std::min(target.find('?'), target.size());
    r.path = r.target.substr(0, question);
    r.query = question < target.size() ? r.target.substr(question + 1) : std::string_view();
    r.body = one.substr(std::min(one.size(), line.size() + 1));
    r.headers = {{"content-type", "application/json"}};
    r.principal = &world->people[n & 1];
    auto match = world->router.Find(method, r.path);
    if (match.route == nullptr) continue;
    r.params = std::move(match.params);
    r.suffix = match.suffix;
    const serve::HttpReply reply = match.route->handler(r);
    if (reply.status < 200 || reply.status == 500 || reply.status > 599) std::abort();
    simdjson::dom::element e;
    if (reply.content_type == "application/json" && parser.parse(reply.body).get(e)) std::abort();
  }
  return 0;
}
