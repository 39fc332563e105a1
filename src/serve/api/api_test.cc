#include "serve/api/api.h"

#include <gtest/gtest.h>
#include <simdjson.h>
#include <yaml-cpp/yaml.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/json.h"
#include "base/str.h"
#include "respond/decide.h"
#include "state/state.h"

namespace stillwatch::serve {
namespace {

namespace fs = std::filesystem;
using base::StrCat;
using simdjson::dom::element;

constexpr int64_t kNow = 1'780'000'000'000;

// Enough of JSON Schema for docs/openapi.yaml. Empty: it fits.
class Schema {
 public:
  explicit Schema(const YAML::Node& root) : root_(root) {}

  std::string Check(YAML::Node schema, element value, const std::string& at = "$") const {
    if (schema["$ref"]) return Check(Resolve(schema["$ref"].as<std::string>()), value, at);
    if (const YAML::Node type = schema["type"]) {
      bool fits = false;
      for (const std::string& t : type.IsSequence()
                                      ? type.as<std::vector<std::string>>()
                                      : std::vector<std::string>{type.as<std::string>()})
        fits |= Is(t, value);
      if (!fits) return StrCat(at, ": is of another type");
    }
    if (const YAML::Node all = schema["enum"]) {
      std::string_view text;
      if (value.get(text) != simdjson::SUCCESS) return StrCat(at, ": is no string");
      bool found = false;
      for (const auto& one : all) found |= one.as<std::string>() == text;
      if (!found) return StrCat(at, ": ", text, " is not in the enum");
    }
    if (int64_t n; schema["minimum"] && value.get(n) == simdjson::SUCCESS &&
                   n < schema["minimum"].as<int64_t>())
      return StrCat(at, ": below the minimum");
    simdjson::dom::object o;
    if (const YAML::Node properties = schema["properties"];
        properties && value.get(o) == simdjson::SUCCESS) {
      for (const auto& kv : o) {
        const std::string key(kv.key);
        if (!properties[key]) return StrCat(at, ".", key, ": is not in the description");
        if (std::string why = Check(properties[key], kv.value, StrCat(at, ".", key)); !why.empty())
          return why;
      }
      for (const auto& r : schema["required"])
        if (element e; o[r.as<std::string>()].get(e) != simdjson::SUCCESS)
          return StrCat(at, ".", r.as<std::string>(), ": is missing");
    }
    simdjson::dom::array a;
    if (schema["items"] && value.get(a) == simdjson::SUCCESS) {
      size_t i = 0;
      for (element e : a)
        if (std::string why = Check(schema["items"], e, StrCat(at, "[", i++, "]")); !why.empty())
          return why;
    }
    return "";
  }

  YAML::Node Resolve(const std::string& ref) const {
    YAML::Node node = YAML::Clone(root_);
    for (size_t at = 2; at < ref.size();) {
      const size_t end = std::min(ref.find('/', at), ref.size());
      node.reset(node[ref.substr(at, end - at)]);
      at = end + 1;
    }
    if (!node.IsMap()) ADD_FAILURE() << ref << " leads nowhere";
    return node;
  }

 private:
  static bool Is(const std::string& type, element v) {
    if (type == "object") return v.is_object();
    if (type == "array") return v.is_array();
    if (type == "string") return v.is_string();
    if (type == "integer") return v.is_int64() || v.is_uint64();
    if (type == "number") return v.is_number();
    if (type == "boolean") return v.is_bool();
    return type == "null" && v.is_null();
  }
  YAML::Node root_;
};

const YAML::Node& Description() {
  static const YAML::Node kRoot = YAML::LoadFile(STILLWATCH_SOURCE_DIR "/docs/openapi.yaml");
  return kRoot;
}

class ApiTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = testing::TempDir() + "/api";
    fs::remove_all(dir_);
    auto log =
        audit::AuditLog::Open({dir_ + "/audit", [] { return kNow; }, "", audit::kSegmentBytes});
    ASSERT_TRUE(log.ok()) << log.status();
    log_ = std::move(*log);
    auto state = state::State::Open({dir_ + "/state", log_.get(), [] { return kNow; }, 100});
    ASSERT_TRUE(state.ok()) << state.status();
    state_ = std::move(*state);
    ApiContext c;
    c.state = state_.get();
    c.audit = log_.get();
    c.now_ms = [] { return kNow; };
    c.try_policy = [this](const respond::Policy&) -> absl::StatusOr<TriedPolicy> {
      if (!lockout_.empty()) return absl::FailedPreconditionError(lockout_);
      return TriedPolicy{touched_, R"({"requests":5})"};
    };
    c.changed = [this](std::string_view topic) { changed_.emplace(topic); };
    c.note = [this](std::string_view what) { noted_ += what; };
    c.report = [this](std::string_view sql, std::string_view,
                      const lake::ReportBounds& bounds) -> absl::StatusOr<std::string> {
      ++asked_;
      if (!report_status_.ok()) return report_status_;
      EXPECT_FALSE(bounds.wait);
      return report_;
    };
    c.revocation = [](const std::string& issuer, std::string_view bundle) {
      return StrCat(R"({"issuer":")", issuer, R"(","revoked":)", bundle, "}");
    };
    c.share = [this](const ShareAsk& ask) -> absl::StatusOr<Shared> {
      if (ask.campaign != "c1") return absl::NotFoundError("campaign: none with this id");
      Shared out;
      out.campaign_name = "amber-otter";
      out.summary = StrCat(
          R"({"audience":")", ask.audience,
          R"(","campaigns":["00ff"],"leaves":[{"type":"settings",)", R"("form":"plain","count":)",
          leaves_,
          R"(}],"stays":[{"type":"payment","rule":"never","count":2,"why":"it is somebody's"}]})");
      EXPECT_EQ(ask.limit, 50u);
      out.items_total = 1;
      out.items = R"([{"type":"settings","form":"plain","value":"temperature=0"}])";
      if (!ask.issuer.empty()) {
        out.bundle = StrCat(R"({"type":"bundle","issuer":")", ask.issuer, "\"}");
      }
      return out;
    };
    AddApiRoutes(&router_, c);
  }

  // As the server would: role, route, handler. Every good reply is held against the description.
  HttpReply Call(const std::string& method, const std::string& target, const std::string& body = "",
                 const std::string& person = "ada",
                 std::set<Role> roles = {Role::kAnalyst, Role::kApprover, Role::kAdmin}) {
    const size_t q = std::min(target.find('?'), target.size());
    const std::string path = "/api/v1" + target.substr(0, q);
    const Router::Match match = router_.Find(method, path);
    if (match.route == nullptr) return ErrorReply(match.allow.empty() ? 404 : 405, "no such route");
    Principal who;
    who.name = person;
    for (const Role r : roles) who.roles |= RoleBit(r);
    if (!who.Has(match.route->role)) return ErrorReply(403, "no right");
    HttpRequest request;
    request.method = method;
    request.path = path;
    const std::string query = q < target.size() ? target.substr(q + 1) : "";
    request.query = query;
    request.body = body;
    request.params = match.params;
    request.principal = &who;
    if (!body.empty()) request.headers = {{"content-type", "application/json; charset=utf-8"}};
    HttpReply reply = match.route->handler(request);
    std::string operation = method;
    for (char& c : operation) c = char(std::tolower(c));
    const YAML::Node op = Description()["paths"][match.route->pattern][operation];
    const YAML::Node responses = op["responses"];
    YAML::Node schema;
    if (reply.status < 300) {
      EXPECT_TRUE(responses[std::to_string(reply.status)])
          << method << " " << target << " gives " << reply.status;
      schema.reset(
          responses[std::to_string(reply.status)]["content"][reply.content_type]["schema"]);
    } else {
      schema.reset(Description()["components"]["schemas"]["Error"]);
    }
    if (reply.content_type == "application/json") {
      element root;
      EXPECT_EQ(parser_.parse(reply.body).get(root), simdjson::SUCCESS) << reply.body;
      const std::string why = Schema(Description()).Check(schema, root);
      EXPECT_EQ(why, "") << method << " " << target << ": " << reply.body;
    }
    return reply;
  }

  static std::string Quoted(std::string_view text) {
    std::string out;
    base::AppendJsonString(text, &out);
    return out;
  }
  int64_t Int(const HttpReply& r, const char* key) {
    int64_t v = -1;
    element e;
    if (parser_.parse(r.body).get(e) != simdjson::SUCCESS || e[key].get(v) != simdjson::SUCCESS)
      ADD_FAILURE() << key << " in " << r.body;
    return v;
  }
  std::string Text(const HttpReply& r, const char* key) {
    std::string_view v;
    element e;
    if (parser_.parse(r.body).get(e) != simdjson::SUCCESS || e[key].get(v) != simdjson::SUCCESS)
      ADD_FAILURE() << key << " in " << r.body;
    return std::string(v);
  }
  static std::string Policy(const std::string& name, bool enforce, int above = 100) {
    return StrCat(
        "version: 1\nname: ", name, "\napproval_above: ", above,
        "\nrules:\n  - id: one\n    match: {verdict: distillation, tier: high}\n    action: deny\n",
        enforce ? "    enforce: true\n" : "");
  }
  std::string Proposal(const std::string& name, bool enforce, int above = 100) {
    return StrCat("{\"text\":", Quoted(Policy(name, enforce, above)), ",\"note\":\"n\"}");
  }

  std::string dir_, lockout_, noted_, report_;
  absl::Status report_status_;
  int asked_ = 0, leaves_ = 1;
  std::unique_ptr<audit::AuditLog> log_;
  std::unique_ptr<state::State> state_;
  Router router_;
  simdjson::dom::parser parser_;
  uint64_t touched_ = 5;
  std::set<std::string> changed_;
};

TEST_F(ApiTest, DescriptionAndRoutesAgree) {
  static constexpr const char* kRoles[] = {"public",   "ingest", "decide", "analyst",
                                           "approver", "admin",  "share"};
  std::set<std::string> described, ids, routed;
  for (const auto& path : Description()["paths"]) {
    for (const auto& op : path.second) {
      const std::string what =
          StrCat(op.first.as<std::string>(), " ", path.first.as<std::string>());
      described.insert(what);
      EXPECT_TRUE(ids.insert(op.second["operationId"].as<std::string>()).second) << what;
      EXPECT_TRUE(op.second["responses"]["default"]) << what;
      EXPECT_GE(op.second["responses"].size(), 2u) << what;
      std::set<std::string> params;
      for (const auto& p : op.second["parameters"])
        if (p["in"] && p["in"].as<std::string>() == "path")
          params.insert(p["name"].as<std::string>());
      std::set<std::string> named;
      const std::string pattern = path.first.as<std::string>();
      for (size_t at = 0; (at = pattern.find('{', at)) != std::string::npos; ++at)
        named.insert(pattern.substr(at + 1, pattern.find('}', at) - at - 1));
      EXPECT_EQ(params, named) << what;
    }
  }
  for (const auto& route : router_.routes()) {
    std::string method = route->method;
    for (char& c : method) c = char(std::tolower(c));
    const std::string what = StrCat(method, " ", route->pattern);
    routed.insert(what);
    const YAML::Node op = Description()["paths"][route->pattern][method];
    ASSERT_TRUE(op) << what << " is not described";
    EXPECT_EQ(op["x-role"].as<std::string>(), kRoles[int(route->role)]) << what;
    EXPECT_EQ(route->speed, Speed::kPool) << what;
  }
  EXPECT_EQ(described, routed);
  // Every reference leads somewhere.
  const std::string text = YAML::Dump(Description());
  const Schema schema(Description());
  for (size_t at = 0; (at = text.find("#/components/", at)) != std::string::npos;) {
    const size_t end = text.find_first_of("\"' \n", at);
    schema.Resolve(text.substr(at, end - at));
    at = end;
  }
}

TEST_F(ApiTest, APolicyFromProposalToRollback) {
  HttpReply r = Call("POST", "/policies/validate", Proposal("a", true));
  EXPECT_EQ(r.status, 400);  // note is no field of it
  r = Call("POST", "/policies/validate", StrCat("{\"text\":", Quoted(Policy("a", true)), "}"));
  EXPECT_EQ(r.status, 200);
  EXPECT_NE(r.body.find("\"valid\":true"), std::string::npos);
  r = Call("POST", "/policies/validate", R"({"text":"version: 1\nrulez: []\n"})");
  EXPECT_NE(r.body.find("\"valid\":false"), std::string::npos) << r.body;
  EXPECT_NE(r.body.find("rulez"), std::string::npos) << r.body;
  touched_ = 101;
  r = Call("POST", "/policies/dry-run", StrCat("{\"text\":", Quoted(Policy("a", true)), "}"));
  EXPECT_NE(r.body.find("\"needs_approval\":true"), std::string::npos) << r.body;
  EXPECT_NE(r.body.find(R"("report":{"requests":5})"), std::string::npos) << r.body;

  r = Call("POST", "/policies", Proposal("a", true, 5000));  // does not lift its own bar
  ASSERT_EQ(r.status, 201) << r.body;
  const int64_t version = Int(r, "version");
  EXPECT_EQ(Int(r, "touched"), 101);
  const std::string path = StrCat("/policies/", version);
  EXPECT_EQ(Call("POST", path + "/activate", R"({"expected_active":0})").status, 403);
  EXPECT_EQ(Call("POST", path + "/approve", R"({"revision":1})").status, 403);  // the proposer
  EXPECT_EQ(Call("POST", path + "/approve", R"({"revision":1})", "bob", {Role::kAnalyst}).status,
            403);  // no approver
  EXPECT_EQ(Call("POST", path + "/approve", R"({"revision":7})", "bob").status, 409);
  EXPECT_EQ(Call("POST", path + "/approve", R"({})", "bob").status, 400);
  EXPECT_EQ(
      Call("POST", path + "/approve", R"({"revision":1,"note":"looked at it"})", "bob").status,
      200);
  EXPECT_EQ(Call("POST", path + "/activate", R"({"expected_active":3})").status, 409);
  EXPECT_TRUE(changed_.contains("policy"));
  r = Call("POST", path + "/activate", R"({"expected_active":0,"note":"go"})");
  EXPECT_EQ(r.status, 200) << r.body;
  EXPECT_EQ(Text(Call("GET", "/policies/active"), "status"), "active");

  // One that would lock everybody out is refused with the count, at each step.
  lockout_ = "policy: would lock out 900 of 1000 accounts";
  r = Call("POST", "/policies", Proposal("b", true));
  EXPECT_EQ(r.status, 409);
  EXPECT_NE(r.body.find("900 of 1000"), std::string::npos);
  lockout_.clear();
  touched_ = 3;
  r = Call("POST", "/policies", Proposal("b", true));
  ASSERT_EQ(r.status, 201);
  lockout_ = "policy: would lock out 900 of 1000 accounts";
  EXPECT_EQ(Call("POST", StrCat("/policies/", Int(r, "version"), "/activate"),
                 StrCat("{\"expected_active\":", version, "}"))
                .status,
            409);
  lockout_.clear();
  EXPECT_EQ(Text(Call("POST", StrCat("/policies/", version + 1, "/withdraw"), R"({"revision":1})"),
                 "status"),
            "withdrawn");

  EXPECT_EQ(Int(Call("GET", "/policies?limit=1"), "total"), 2);
  EXPECT_NE(Call("GET", path).body.find("approval_above: 5000"), std::string::npos);
  EXPECT_EQ(Call("GET", "/policies/99").status, 404);
  EXPECT_EQ(Call("GET", "/policies/x").status, 400);
  EXPECT_EQ(Call("POST", "/policies/rollback", R"({"expected_active":9})").status, 409);
  EXPECT_EQ(Int(Call("POST", "/policies/rollback", StrCat("{\"expected_active\":", version, "}")),
                "version"),
            0);
  EXPECT_EQ(Int(Call("GET", "/policies/active"), "version"), 0);
  EXPECT_EQ(Int(Call("GET", "/policies/activations"), "total"), 2);
  r = Call("GET", "/audit?action=policy.");
  EXPECT_NE(r.body.find("\"actor\":\"bob\""), std::string::npos);
  EXPECT_NE(r.body.find("policy.rollback"), std::string::npos);
}

TEST_F(ApiTest, AnAppealIsOpenedByItsReference) {
  const std::string ref = respond::AppealText(0x123456789abcdef0);
  ASSERT_TRUE(log_->Offer(
      {kNow, "gateway", "decision.deny", "acct-1",
       StrCat(R"({"campaign":"c1","account_id":"acct-1","appeal_ref":")", ref, "\"}")}));
  std::string spoken = ref;
  for (char& c : spoken) c = char(std::tolower(c));
  HttpReply r =
      Call("POST", "/appeals",
           StrCat("{\"ref\":\"", spoken, "\",\"message\":\"<b>we are a school</b>\"}"), "support");
  ASSERT_EQ(r.status, 201) << r.body;
  EXPECT_EQ(Text(r, "account_id"), "acct-1");
  EXPECT_EQ(Text(r, "campaign_id"), "c1");
  EXPECT_EQ(r.body.find('<'), std::string::npos);
  EXPECT_EQ(
      Call("POST", "/appeals", StrCat("{\"ref\":\"", ref, "\",\"account_id\":\"other\"}")).status,
      409);
  EXPECT_EQ(Call("POST", "/appeals", R"({"ref":"nonsense"})").status, 400);
  const std::string unknown = respond::AppealText(77);
  EXPECT_EQ(Call("POST", "/appeals", StrCat("{\"ref\":\"", unknown, "\"}")).status, 404);
  EXPECT_EQ(
      Call("POST", "/appeals", StrCat("{\"ref\":\"", unknown, "\",\"account_id\":\"acct-9\"}"))
          .status,
      201);
  EXPECT_EQ(Int(Call("GET", "/appeals?status=open"), "total"), 2);
  EXPECT_EQ(Call("GET", "/appeals?status=lost").status, 400);
  EXPECT_EQ(Call("POST", StrCat("/appeals/", ref, "/overturn"), R"({"revision":1})").status, 400);
  EXPECT_EQ(Call("POST", StrCat("/appeals/", ref, "/overturn"),
                 R"({"revision":1,"reason":"school","campaign_only":"yes"})")
                .status,
            400);
  changed_.clear();
  r = Call("POST", StrCat("/appeals/", ref, "/overturn"), R"({"revision":1,"reason":"school"})");
  EXPECT_EQ(Text(r, "status"), "overturned");
  EXPECT_EQ(changed_, std::set<std::string>{"appeals"});
  EXPECT_EQ(state_->GetEnforcement(false)->overturned.at(0).account_id, "acct-1");
  EXPECT_EQ(
      Call("POST", StrCat("/appeals/", ref, "/uphold"), R"({"revision":1,"reason":"late"})", "bob")
          .status,
      409);
  EXPECT_EQ(Text(Call("GET", StrCat("/appeals/", ref)), "decided_by"), "ada");
  EXPECT_EQ(Call("GET", "/appeals/SW-0").status, 400);
  EXPECT_NE(Call("GET", "/feedback").body.find("\"wrong\""), std::string::npos);
  EXPECT_EQ(Call("POST", StrCat("/appeals/", ref, "/uphold"),
                 R"({"revision":2,"reason":"after all"})", "bob")
                .status,
            200);
  EXPECT_TRUE(state_->GetEnforcement(false)->overturned.empty());
}

TEST_F(ApiTest, Campaigns) {
  state::PassResult pass;
  pass.pass = {0, kNow, kNow, 0, kNow, R"({"exchanges":9})"};
  for (int i = 0; i < 3; ++i) {
    auto& c = pass.campaigns.emplace_back();
    c.campaign.id = StrCat("c", i), c.campaign.name = "otter", c.campaign.status = "current",
    c.campaign.verdict = "distillation";
    c.campaign.probability = .97, c.campaign.exchanges = 10 * i, c.campaign.families = {"network"};
    c.campaign.json = i == 1 ? "not json" : R"({"evidence":[]})";
    c.members_given = true;
    c.members = {{"acct-1", "p", "distillation", "why", .9, 5, 4}};
  }
  pass.events = {{0, "c2", kNow, 0, "new", R"({"exchanges":20})"}};
  ASSERT_TRUE(state_->RecordPass(pass).ok());
  EXPECT_EQ(Int(Call("GET", "/campaigns?limit=2&sort=exchanges"), "total"), 3);
  EXPECT_EQ(Int(Call("GET", "/campaigns?account_id=acct-1&probability_min=0.98"), "total"), 0);
  EXPECT_EQ(Call("GET", "/campaigns?sort=secret").status, 400);
  EXPECT_EQ(Call("GET", "/campaigns?limit=501").status, 400);
  EXPECT_EQ(Call("GET", "/campaigns?limit=-1").status, 400);
  EXPECT_EQ(Call("GET", "/campaigns?probability_min=x").status, 400);
  EXPECT_EQ(Call("GET", "/campaigns?changed_since=yesterday").status, 400);
  EXPECT_NE(Call("GET", "/campaigns/c2").body.find(R"("finding":{"evidence":[]})"),
            std::string::npos);
  EXPECT_NE(Call("GET", "/campaigns/c1").body.find(R"("finding":null)"), std::string::npos);
  EXPECT_EQ(Call("GET", "/campaigns/nope").status, 404);
  EXPECT_EQ(Int(Call("GET", "/campaigns/c2/members"), "total"), 1);
  EXPECT_NE(Call("GET", "/campaigns/c2/events").body.find(R"("details":{"exchanges":20})"),
            std::string::npos);
  EXPECT_NE(Call("GET", "/passes").body.find(R"("details":{"exchanges":9})"), std::string::npos);
  EXPECT_EQ(Call("POST", "/campaigns/c2/disposition",
                 R"({"expected":0,"value":"dismissed","reason":"customer-explained"})")
                .status,
            400);
  EXPECT_EQ(
      Call("POST", "/campaigns/c2/disposition", R"({"value":"unsure","reason":"other"})").status,
      400);
  EXPECT_EQ(
      Call(
          "POST", "/campaigns/c2/disposition",
          R"({"expected":0,"value":"dismissed","look_alike":"class","reason":"customer-explained"})")
          .status,
      200);
  EXPECT_EQ(Call("POST", "/campaigns/c2/disposition",
                 R"({"expected":0,"value":"confirmed","reason":"evidence-checked"})", "bob")
                .status,
            409);
  EXPECT_EQ(Call("POST", "/campaigns/c0/disposition",
                 R"({"expected":0,"value":"confirmed","reason":"evidence-checked"})")
                .status,
            200);
  EXPECT_EQ(Int(Call("GET", "/campaigns/c2/dispositions"), "total"), 1);
  EXPECT_EQ(Int(Call("GET", "/dispositions"), "total"), 2);
  EXPECT_NE(Call("GET", "/precision").body.find("\"precision\":0.5"), std::string::npos);
  EXPECT_EQ(Call("GET", "/decisions").status, 200);
  EXPECT_NE(Call("GET", "/codes").body.find("needs-more-data"), std::string::npos);
  EXPECT_EQ(Call("POST", "/campaigns/c2/owner", R"({"owner":"ada"})").status, 200);
  EXPECT_EQ(Call("POST", "/campaigns/c2/owner", R"({"owner":"bob"})", "bob").status, 409);
  EXPECT_EQ(Call("GET", "/accounts/acct-1").status, 200);
}

TEST_F(ApiTest, TokensListsAttestations) {
  EXPECT_EQ(Call("GET", "/tokens", "", "ada", {Role::kAnalyst, Role::kApprover}).status, 403);
  HttpReply r = Call("POST", "/tokens",
                     R"({"person":"eve","roles":["analyst"],"expires_at":"2027-01-01T00:00:00Z"})");
  ASSERT_EQ(r.status, 201) << r.body;
  EXPECT_TRUE(state_->tokens().Find(Text(r, "token"), kNow).has_value());
  EXPECT_EQ(Call("GET", "/tokens").body.find(Text(r, "token")), std::string::npos);
  EXPECT_EQ(Call("POST", "/tokens", R"({"person":"eve","roles":["root"]})").status, 400);
  EXPECT_EQ(Call("POST", "/tokens", R"({"person":"eve","roles":"analyst"})").status, 400);
  EXPECT_EQ(
      Call("POST", "/tokens", R"({"person":"eve","roles":["analyst"],"expires":"2027"})").status,
      400);
  EXPECT_EQ(Call("POST", StrCat("/tokens/", Text(r, "id"), "/revoke")).status, 200);
  EXPECT_FALSE(state_->tokens().Find(Text(r, "token"), kNow).has_value());

  r = Call(
      "POST", "/lists/blocked",
      R"({"expected":0,"put":[{"value":"account:a","reason":"abuse"},{"value":"address:198.51.100.0/24","reason":"pool","expires_at":"2027-01-01T00:00:00Z"}]})");
  EXPECT_EQ(r.status, 200) << r.body;
  EXPECT_EQ(Call("POST", "/lists/blocked",
                 R"({"expected":0,"put":[{"value":"account:b","reason":"abuse"}]})")
                .status,
            409);
  for (const char* value : {"a", "account:", "address:300.1.1.1", "citizen:x"})
    EXPECT_EQ(Call("POST", "/lists/blocked",
                   StrCat(R"({"expected":1,"put":[{"value":")", value, R"(","reason":"r"}]})"))
                  .status,
              400)
        << value;
  std::string many = R"({"expected":1,"put":[)";
  for (int i = 0; i < 101; ++i)
    many += StrCat(i ? "," : "", R"({"value":"account:)", i, R"(","reason":"r"})");
  r = Call("POST", "/lists/blocked", many + "]}");
  EXPECT_EQ(r.status, 202);
  const std::string change = StrCat("/list-changes/", Int(r, "id"));
  EXPECT_EQ(Call("POST", change + "/approve").status, 403);
  EXPECT_EQ(Call("POST", change + "/approve", "", "bob").status, 200);
  EXPECT_EQ(Call("POST", change + "/reject", "", "bob").status, 409);
  EXPECT_EQ(Int(Call("GET", "/lists/blocked?prefix=account:"), "total"), 102);
  EXPECT_EQ(Int(Call("GET", "/lists"), "total"), 1);
  EXPECT_EQ(Int(Call("GET", "/list-changes?status=applied"), "total"), 2);
  EXPECT_EQ(Call("GET", "/lists/none").status, 404);

  EXPECT_EQ(
      Call(
          "POST", "/attestations",
          R"({"attestations":[{"account_id":"a","kind":"citizenship","value":"US","source":"passport","valid_until":"2027-01-01T00:00:00Z"}]})")
          .status,
      200);
  EXPECT_EQ(
      Call("POST", "/attestations", R"({"attestations":[{"account_id":"a","kind":"citizenship"}]})")
          .status,
      400);
  EXPECT_EQ(Call("POST", "/attestations", R"({"attestations":[7]})").status, 400);
  EXPECT_EQ(Int(Call("GET", "/accounts/a/attestations"), "total"), 1);
  EXPECT_EQ(Call("DELETE", "/accounts/a/attestations/citizenship").status, 200);
  EXPECT_EQ(Call("DELETE", "/accounts/a/attestations/citizenship").status, 404);
  ASSERT_TRUE(state_->AddPermitUsage({{"p", 3}}).ok());
  EXPECT_EQ(Int(Call("GET", "/permits/usage"), "total"), 1);
  EXPECT_EQ(Int(Call("GET", "/changes"), "lists"), 3);
  EXPECT_NE(Call("GET", "/me").body.find("\"approver\""), std::string::npos);
  EXPECT_EQ(Call("GET", "/openapi.yaml").body.substr(0, 1), "#");
}

// One address range may be everybody.
TEST_F(ApiTest, AWideListEntryIsCounted) {
  const auto put = [&](int expected, const std::string& value) {
    return Call("POST", "/lists/foes",
                StrCat(R"({"expected":)", expected, R"(,"put":[{"value":")", value,
                       R"(","reason":"r"}]})"))
        .status;
  };
  const std::string policy =
      "version: 1\nname: a\napproval_above: 10\nlists:\n  - name: foes\n    kind: deny\n    "
      "enforce: true\n    entries: [{account: x}]\n";
  HttpReply r = Call("POST", "/policies", StrCat("{\"text\":", Quoted(policy), "}"));
  ASSERT_EQ(r.status, 201) << r.body;
  ASSERT_EQ(
      Call("POST", StrCat("/policies/", Int(r, "version"), "/activate"), R"({"expected_active":0})")
          .status,
      200);
  touched_ = 500;
  EXPECT_EQ(put(0, "account:a"), 200);  // one is one
  EXPECT_EQ(put(1, "address:198.51.100.0/24"), 202);
  touched_ = 3;
  EXPECT_EQ(put(1, "address:198.51.100.0/24"), 200);
  lockout_ = "policy: would lock out 900 of 1000 accounts";
  EXPECT_EQ(put(2, "address:0.0.0.0/0"), 409);
  EXPECT_EQ(put(2, "account:b"), 200);
}

TEST_F(ApiTest, TheLogIsReadAndVerified) {
  for (int i = 0; i < 7; ++i)
    ASSERT_TRUE(log_->Append({kNow, "gateway", "decision.deny", StrCat("acct-", i),
                              R"({"a":[1,{"b":"<"}]})"})
                    .ok());
  HttpReply r = Call("GET", "/audit?limit=3");
  EXPECT_EQ(Int(r, "next_before"), 5);
  EXPECT_NE(Call("GET", "/audit?before=5&limit=3").body.find("acct-3"), std::string::npos);
  EXPECT_EQ(Call("GET", "/audit?limit=0").status, 400);
  EXPECT_EQ(Call("GET", "/audit?before=x").status, 400);
  r = Call("GET", "/audit/head");
  const std::string anchor = StrCat(Int(r, "seq"), ":", Text(r, "hash"));
  r = Call("POST", "/audit/verify", StrCat("{\"anchors\":[\"", anchor, "\"]}"));
  EXPECT_NE(r.body.find("\"ok\":true"), std::string::npos) << r.body;
  EXPECT_EQ(Call("POST", "/audit/verify", R"({"anchors":["x"]})").status, 400);
  // Changed behind our back.
  const std::string path = dir_ + "/audit/audit-000001.jsonl";
  std::string bytes;
  {
    std::ifstream in(path);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  bytes.replace(bytes.find("acct-3"), 6, "acct-9");
  std::ofstream(path) << bytes;
  r = Call("POST", "/audit/verify", "{}");
  EXPECT_NE(r.body.find("\"ok\":false"), std::string::npos);
  EXPECT_NE(r.body.find("record 4 was changed"), std::string::npos) << r.body;
}

TEST_F(ApiTest, BadBodies) {
  for (const char* body : {"[]", "{", "7", "{\"text\":1}", "{\"text\":\"\"}", "{\"text\":null}",
                           "{\"text\":\"a\",\"text\":\"b\"}", "{\"texts\":\"a\"}"})
    EXPECT_EQ(Call("POST", "/policies/validate", body).status, 400) << body;
  EXPECT_EQ(Call("POST", "/policies/validate").status, 415);
  EXPECT_EQ(Call("PUT", "/policies").status, 405);
  EXPECT_EQ(Call("GET", "/nothing").status, 404);
  std::string deep(2000, '[');
  EXPECT_EQ(Call("POST", "/policies/validate", "{\"text\":" + deep).status, 400);
}

TEST_F(ApiTest, NothingLeavesByOnePersonAlone) {
  EXPECT_EQ(Call("GET", "/sharing/preview?campaign=nobody&audience=public").status, 404);
  EXPECT_EQ(Call("GET", "/sharing/preview?campaign=c1&audience=public&limit=501").status, 400);
  HttpReply r = Call("GET", "/sharing/preview?campaign=c1&audience=provider");
  EXPECT_NE(r.body.find("\"value\":\"temperature=0\""), std::string::npos) << r.body;
  EXPECT_EQ(Call("POST", "/sharing/exports",
                 R"({"campaign_id":"c1","audience":"provider","issuer":"Acme"})")
                .status,
            400);  // without a word why
  const char* asked =
      R"({"campaign_id":"c1","audience":"provider","issuer":"Acme","note":"they asked"})";
  r = Call("POST", "/sharing/exports", asked);
  ASSERT_EQ(r.status, 201) << r.body;
  const std::string path = StrCat("/sharing/exports/", Int(r, "id"));
  EXPECT_EQ(Call("GET", path + "/file").status, 409);
  EXPECT_EQ(Call("POST", path + "/approve", R"({"revision":1})").status, 403);  // the proposer
  EXPECT_EQ(Call("POST", path + "/approve", R"({"revision":1})", "bob", {Role::kAnalyst}).status,
            403);
  leaves_ = 2;  // the findings have moved on
  EXPECT_EQ(Call("POST", path + "/approve", R"({"revision":1})", "bob").status, 409);
  EXPECT_EQ(Call("GET", path + "/file").status, 409);
  leaves_ = 1;
  EXPECT_EQ(Call("POST", path + "/approve", R"({"revision":2})", "bob").status, 409);
  r = Call("POST", path + "/approve", R"({"revision":1})", "bob");
  ASSERT_EQ(r.status, 200) << r.body;
  EXPECT_EQ(Text(r, "digest"), state::ExportDigest({{"", R"({"type":"bundle","issuer":"Acme"})"}}));
  EXPECT_EQ(Call("POST", path + "/reject", R"({"revision":2})", "bob").status, 409);
  EXPECT_EQ(Call("GET", path + "/file").body, R"({"type":"bundle","issuer":"Acme"})");
  r = Call("POST", "/sharing/exports", asked);
  EXPECT_EQ(Call("POST", StrCat("/sharing/exports/", Int(r, "id"), "/reject"), R"({"revision":1})")
                .status,
            200);
  EXPECT_EQ(Int(Call("GET", "/sharing/exports"), "total"), 2);
  // Taken back: nothing of what was approved holds, and that too takes two.
  EXPECT_EQ(Call("POST", path + "/revoke", "{}").status, 400);
  EXPECT_EQ(
      Call("POST", StrCat("/sharing/exports/", Int(r, "id"), "/revoke"), R"({"note":"x"})").status,
      409);  // it was rejected
  r = Call("POST", path + "/revoke", R"({"note":"they were customers"})");
  ASSERT_EQ(r.status, 201) << r.body;
  const std::string back = StrCat("/sharing/exports/", Int(r, "id"));
  EXPECT_EQ(Call("POST", back + "/approve", R"({"revision":1})").status, 403);
  EXPECT_EQ(Call("POST", back + "/approve", R"({"revision":1})", "bob").status, 200);
  EXPECT_EQ(Call("GET", back + "/file").body,
            R"({"issuer":"Acme","revoked":{"type":"bundle","issuer":"Acme"}})");
  EXPECT_EQ(Call("POST", "/sharing/exports/9/approve", R"({"revision":1})").status, 404);
  const std::string log = Call("GET", "/audit?action=share.").body;
  for (const char* action : {"share.propose", "share.approve", "share.reject", "share.download"})
    EXPECT_NE(log.find(action), std::string::npos) << action;
}

TEST_F(ApiTest, WhatOthersSharedIsGradedAndRevoked) {
  EXPECT_EQ(Int(Call("GET", "/sharing/sources"), "total"), 0);
  EXPECT_EQ(Int(Call("GET", "/sharing/imports"), "total"), 0);
  std::vector<state::ImportedIndicator> said(3);
  for (size_t i = 0; i < said.size(); ++i) {
    said[i].id = StrCat("indicator--", i);
    said[i].campaign = "campaign--1";
    said[i].type = i == 0 ? "payment" : "mail-domain";
    said[i].value = i == 0 ? "c1" : "<img src=x>";
    said[i].valid_until_ms = i == 2 ? kNow - 1 : kNow + 1000;
  }
  for (const char* source : {"north", "south <b>"})
    ASSERT_TRUE(state_->Import(source, said, "ada").ok());
  HttpReply r = Call("GET", "/sharing/sources?limit=1&offset=1");
  EXPECT_EQ(Int(r, "total"), 2);
  EXPECT_EQ(r.body.find("north"), std::string::npos) << r.body;
  EXPECT_EQ(Call("GET", "/sharing/sources?limit=0").status, 400);
  EXPECT_EQ(Int(Call("GET", "/sharing/imports?source=north"), "total"), 3);
  EXPECT_EQ(Int(Call("GET", "/sharing/imports?status=expired"), "total"), 2);
  EXPECT_EQ(Int(Call("GET", "/sharing/imports?type=payment&status=active"), "total"), 2);
  EXPECT_EQ(Call("GET", "/sharing/imports?status=odd").status, 400);
  // Grades are people's: with the right, of the scale, on the record.
  const std::string north = "/sharing/sources/north";
  EXPECT_EQ(Call("POST", north, R"({"reliability":"B"})", "eve", {Role::kDecide}).status, 403);
  EXPECT_EQ(Call("POST", north, R"({"reliability":"G"})").status, 400);
  EXPECT_EQ(Call("POST", north, R"({"reliability":"AB"})").status, 400);
  r = Call("POST", north, R"({"reliability":"B","note":"right in 9 of 11"})");
  EXPECT_EQ(Text(r, "reliability"), "B");
  EXPECT_EQ(Text(r, "graded_by"), "ada");
  EXPECT_EQ(Int(Call("POST", north + "/revoke", R"({"id":"indicator--0"})"), "revoked"), 1);
  EXPECT_EQ(Int(Call("POST", north + "/revoke", "{}"), "revoked"), 2);
  EXPECT_EQ(Call("POST", "/sharing/sources/nobody/revoke", "{}").status, 404);
  EXPECT_EQ(Int(Call("GET", "/sharing/imports?status=revoked"), "total"), 3);
  EXPECT_TRUE(changed_.contains("imports"));
  const std::string log = Call("GET", "/audit?action=share.").body;
  for (const char* action : {"share.import", "share.grade", "share.revoke"})
    EXPECT_NE(log.find(action), std::string::npos) << action << log;
}

TEST_F(ApiTest, DirectivesAndPermitsInForce) {
  EXPECT_EQ(Text(Call("GET", "/directives"), "source"), "none");
  std::ifstream in(STILLWATCH_SOURCE_DIR "/examples/policy/export-control-2026-06.yaml");
  std::string text((std::istreambuf_iterator<char>(in)), {});
  text +=
      "\npermits:\n  - {id: lab, org_id: o, models: [m], exchanges_max: 50, valid_until: "
      "2027-01-01T00:00:00Z}\n";
  HttpReply r = Call("POST", "/policies", StrCat("{\"text\":", Quoted(text), "}"));
  ASSERT_EQ(r.status, 201) << r.body;
  ASSERT_EQ(
      Call("POST", StrCat("/policies/", Int(r, "version"), "/activate"), R"({"expected_active":0})")
          .status,
      200);
  ASSERT_TRUE(state_->AddPermitUsage({{"lab", 12}}).ok());
  r = Call("GET", "/directives");
  EXPECT_EQ(Text(r, "source"), "state");
  for (const char* part : {R"("effective_from":"2026-06-12T00:00:00.000Z")", R"("unknown":"deny")",
                           R"("require":[{"key":"citizenship","values":["us"]}])",
                           R"("proof":["document","business"])", R"("lists":["annex-a"])",
                           R"("exchanges_max":50,"used":12,"valid_from":null)"})
    EXPECT_NE(r.body.find(part), std::string::npos) << part << " in " << r.body;
}

TEST_F(ApiTest, AHuntIsPagedAndCut) {
  report_ = "account_id\tn\nString\tNullable(UInt64)\n";
  for (int i = 0; i < 120; ++i) report_ += StrCat("a\\t<b>", i, "\t\\N\n");
  HttpReply r = Call("POST", "/hunt", R"({"sql":"SELECT account_id, n FROM exchanges"})");
  ASSERT_EQ(r.status, 200) << r.body;
  EXPECT_EQ(Int(r, "total"), 120);
  EXPECT_NE(r.body.find("\"cut\":false"), std::string::npos);
  EXPECT_NE(r.body.find(R"x("names":["account_id","n"],"types":["String","Nullable(UInt64)"])x"),
            std::string::npos)
      << r.body.substr(0, 300);
  EXPECT_NE(r.body.find(R"(["a\t\u003cb\u003e0",null])"), std::string::npos)
      << r.body.substr(0, 300);
  const std::string id = Text(r, "id");
  r = Call("GET", StrCat("/hunt/answers/", id, "?offset=119&limit=5"));
  EXPECT_NE(r.body.find(R"("rows":[["a\t\u003cb\u003e119",null]])"), std::string::npos) << r.body;
  EXPECT_EQ(Call("GET", StrCat("/hunt/answers/", id), "", "bob").status, 404) << "ada asked";
  EXPECT_EQ(Call("GET", "/hunt/answers/none").status, 404);
  EXPECT_EQ(Call("GET", StrCat("/hunt/answers/", id, "?limit=501")).status, 400);
  // More than is kept.
  for (int i = 0; i < 11'000; ++i) report_ += "x\t1\n";
  r = Call("POST", "/hunt", R"({"sql":"SELECT 1"})");
  EXPECT_EQ(Int(r, "total"), 10'000);
  EXPECT_NE(r.body.find("\"cut\":true"), std::string::npos);
  for (int i = 0; i < 16; ++i) Call("POST", "/hunt", R"({"sql":"SELECT 1"})");
  EXPECT_EQ(Call("GET", StrCat("/hunt/answers/", id)).status, 404) << "it has gone for others";
  report_ = "n\nUInt8\n";
  EXPECT_EQ(Int(Call("POST", "/hunt", R"({"sql":"SELECT 1 WHERE 0"})"), "total"), 0);
}

TEST_F(ApiTest, AHuntThatMayNotRun) {
  for (const char* sql : {"DROP TABLE exchanges", "SELECT * FROM url('http://127.0.0.1/','CSV')",
                          "SELECT * FROM system.users", "SELECT 1 INTO OUTFILE 'x'",
                          "SELECT 1 SETTINGS readonly=0"}) {
    const HttpReply r = Call("POST", "/hunt", StrCat("{\"sql\":", Quoted(sql), "}"));
    EXPECT_EQ(r.status, 400) << sql;
  }
  EXPECT_EQ(asked_, 0);
  EXPECT_EQ(
      Call("POST", "/hunt", R"({"sql":"SELECT 1"})", "eve", {Role::kIngest, Role::kDecide}).status,
      403);
  // The failures of a lake, in words for people.
  report_status_ = absl::DeadlineExceededError("Code: 159");
  HttpReply r = Call("POST", "/hunt", R"({"sql":"SELECT 1"})");
  EXPECT_EQ(r.status, 504);
  EXPECT_NE(r.body.find("cancelled after 20 seconds"), std::string::npos) << r.body;
  report_status_ = absl::UnavailableError("no socket");
  r = Call("POST", "/hunt", R"({"sql":"SELECT 1"})");
  EXPECT_EQ(r.status, 503);
  EXPECT_NE(r.body.find("waits in the journal"), std::string::npos) << r.body;
  EXPECT_NE(noted_.find("no socket"), std::string::npos);
  EXPECT_EQ(Call("GET", "/hunt/schema").status, 503);
  report_status_ = absl::ResourceExhaustedError("memory");
  EXPECT_EQ(Call("POST", "/hunt", R"({"sql":"SELECT 1"})").status, 507);
  report_status_ = absl::InvalidArgumentError("lake: query: Unknown table x");
  r = Call("POST", "/hunt", R"({"sql":"SELECT 1 FROM x"})");
  EXPECT_EQ(r.status, 400);
  EXPECT_NE(r.body.find("Unknown table x"), std::string::npos);
  // Asked or refused, by whom and in which words is in the log.
  r = Call("GET", "/audit?action=hunt.");
  EXPECT_NE(r.body.find("\"action\":\"hunt.refused\""), std::string::npos);
  EXPECT_NE(r.body.find("SELECT * FROM system.users"), std::string::npos) << r.body;
  EXPECT_NE(r.body.find("\"action\":\"hunt.query\""), std::string::npos);
}

TEST_F(ApiTest, QueriesAreSaved) {
  const auto save = [&](const char* name, int expected, const char* sql, const char* person) {
    return Call("POST", StrCat("/hunt/queries/", name),
                StrCat(R"({"expected":)", expected, R"(,"sql":)", Quoted(sql), R"(,"note":"n"})"),
                person);
  };
  EXPECT_EQ(Int(Call("GET", "/hunt/queries"), "total"), 0);
  EXPECT_EQ(save("b", 0, "SELECT 1", "ada").status, 200);
  EXPECT_EQ(Int(save("a", 0, "SELECT 2", "bob"), "total"), 2);
  const HttpReply second = save("b", 0, "SELECT 3", "bob");
  EXPECT_EQ(second.status, 409);
  EXPECT_NE(second.body.find("changed by ada"), std::string::npos) << second.body;
  EXPECT_EQ(save("b", 1, "SELECT 3", "bob").status, 200);
  EXPECT_EQ(save("c", 0, "DROP TABLE exchanges", "bob").status, 400);
  EXPECT_EQ(save("b", 1, "", "ada").status, 409);
  EXPECT_EQ(Int(save("b", 2, "", "ada"), "total"), 1);
  EXPECT_EQ(save("b", 0, "", "ada").status, 400);
  EXPECT_NE(Call("GET", "/audit?action=hunt.save").body.find("SELECT 3"), std::string::npos);
  report_ = "exchanges\tts\tInt64\nexchanges\tmodel\tString\naccounts\tplan\tString\n";
  EXPECT_NE(Call("GET", "/hunt/schema")
                .body.find(R"({"name":"accounts","columns":[{"name":"plan","type":"String"}]})"),
            std::string::npos);
}

// Where nothing can be tried, only what does nothing may be proposed.
TEST_F(ApiTest, WithoutTraffic) {
  Router router;
  ApiContext c;
  c.state = state_.get();
  c.audit = log_.get();
  c.now_ms = [] { return kNow; };
  AddApiRoutes(&router, c);
  const auto propose = [&](bool enforce) {
    const std::string body = Proposal("a", enforce);
    Principal who;
    who.name = "ada";
    HttpRequest r;
    r.body = body;
    r.principal = &who;
    r.headers = {{"Content-Type", "application/json"}};
    return router.Find("POST", "/api/v1/policies").route->handler(r).status;
  };
  EXPECT_EQ(propose(true), 409);
  EXPECT_EQ(propose(false), 201);
}

TEST_F(ApiTest, NetworksProfilesAndHolders) {
  state::PassResult pass;
  state::PassResult::Changed& c = pass.campaigns.emplace_back();
  c.campaign.id = c.campaign.finding_id = "c1";
  c.campaign.name = "amber-otter", c.campaign.status = "current";
  c.campaign.verdict = "distillation";
  c.campaign.json = R"({"templates":[{"id":"tpl_1","exchanges":9,"hashes":[7,8,9]}]})";
  c.members_given = true;
  for (int i = 0; i < 6; ++i)
    c.members.push_back(
        {StrCat("acct-", i), i < 4 ? "pool_a" : "", "distillation", "why", .9, 5, 4});
  ASSERT_TRUE(state_->RecordPass(pass).ok());
  // The same two columns answer every question for a network: what is no member's is dropped.
  report_ = "1\tacct-1\n1\tacct-2\n1\tsomebody\n2\\t\tacct-3\n";
  HttpReply r = Call("GET", "/campaigns/c1/graph");
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(Int(r, "accounts"), 6);
  EXPECT_EQ(Int(r, "values"), 5);  // one of each field of an exchange
  EXPECT_EQ(Int(r, "links_total"), 10);
  EXPECT_NE(r.body.find(R"("id":"v:client_ip:1")"), std::string::npos) << r.body;
  EXPECT_EQ(Int(Call("GET", "/campaigns/c1/graph?open=none&focus=a:acct-1"), "unknown"), 0);
  EXPECT_EQ(Int(Call("GET", "/campaigns/c1/graph?open=c:pool_a~c:gone"), "unknown"), 1);
  EXPECT_EQ(Int(Call("GET", "/campaigns/c1/graph/nodes?kind=account&limit=2"), "total"), 6);
  EXPECT_EQ(Int(Call("GET", "/campaigns/c1/graph/nodes?text=ACCT-3"), "total"), 1);
  EXPECT_EQ(Int(Call("GET", "/campaigns/c1/graph/nodes?linked=v:ja4:1"), "total"), 2);
  EXPECT_EQ(Int(Call("GET", "/campaigns/c1/graph/nodes?linked=a:acct-2&kind=value"), "total"), 5);
  EXPECT_EQ(Int(Call("GET", "/campaigns/c1/graph/nodes?parent=c:pool_a&kind=account"), "total"), 4);
  EXPECT_EQ(Call("GET", "/campaigns/c1/graph/nodes?node=a:nobody").status, 404);
  EXPECT_EQ(Call("GET", "/campaigns/c1/graph/nodes?limit=501").status, 400);
  EXPECT_EQ(Call("GET", "/campaigns/none/graph").status, 404);
  // Thirteen columns: an account's hours, then combinations of values.
  report_ =
      "5\t3\t10\t20\t1780000000000\t1780000000001\t\t\t\t\t\t\t\n"
      "24\t3\t0\t0\t0\t0\tatlas-4\tapi\t203.0.113.1\tt13\tclient/1\t\t\n";
  r = Call("GET", "/accounts/acct-1/profile");
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(Int(r, "exchanges"), 3);
  EXPECT_NE(r.body.find("203.0.113.1"), std::string::npos);
  EXPECT_NE(r.body.find(R"("pool_id":"pool_a")"), std::string::npos) << r.body;
  r = Call("GET", "/compare?a=acct-1&b=acct-2");
  EXPECT_EQ(r.status, 200);
  EXPECT_NE(r.body.find(R"("same_pool":true)"), std::string::npos) << r.body;
  EXPECT_EQ(Call("GET", "/compare?a=acct-1&b=acct-1").status, 400);
  report_ = "acct-1\t5\t1780000000000\t1780000000001\nfree\t4\t0\t0\n";
  r = Call("GET", "/holders?field=client_ip&value=203.0.113.1&limit=1");
  EXPECT_EQ(Int(r, "total"), 2);
  EXPECT_NE(r.body.find(R"("name":"amber-otter")"), std::string::npos) << r.body;
  EXPECT_EQ(Int(Call("GET", "/holders?field=template&value=tpl_1&campaign=c1"), "total"), 2);
  EXPECT_EQ(Call("GET", "/holders?field=template&value=tpl_2&campaign=c1").status, 404);
  EXPECT_EQ(Call("GET", "/holders?field=country&value=XX").status, 400);
  // Without the lake a network is what the findings say, and says so; what is read from it alone is
  // not.
  report_status_ = absl::UnavailableError("away");
  state::PassResult next = pass;
  next.campaigns[0].campaign.id = "c2";
  ASSERT_TRUE(state_->RecordPass(next).ok());
  r = Call("GET", "/campaigns/c2/graph");
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(Int(r, "values"), 0);
  EXPECT_NE(r.body.find("does not answer at the moment"), std::string::npos) << r.body;
  EXPECT_EQ(Call("GET", "/accounts/acct-1/profile").status, 503);
  EXPECT_EQ(Call("GET", "/compare?a=acct-1&b=acct-2").status, 503);
  report_status_ = absl::DeadlineExceededError("late");
  EXPECT_EQ(Call("GET", "/holders?field=ja4&value=x").status, 504);
}

}  // namespace
}  // namespace stillwatch::serve
