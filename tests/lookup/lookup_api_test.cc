// The index of accounts that a scan leaves (lookup/lookup.h) against the lake that it was made of:
// over random small lakes, with records that are there twice and ids that two records share, it
// says what SQL says, and the API answers from it as it does from the lake.
#include <gtest/gtest.h>
#include <simdjson.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <random>
#include <regex>
#include <set>
#include <tuple>

#include "base/hash.h"
#include "base/str.h"
#include "engine/account_index.h"
#include "engine/exchange_rows.h"
#include "engine/log_builder.h"
#include "judge/report.h"
#include "lake/embedded/embedded_lake.h"
#include "lookup/lookup.h"
#include "serve/api/api.h"

namespace stillwatch {
namespace {

namespace fs = std::filesystem;
using base::StrCat;
using lookup::Field;
using lookup::Lookup;

constexpr int64_t kNow = 1'780'000'000'000;

struct Exchange {
  std::string id, account, model, channel, client_ip, user_agent, ja4, key, org;
  int64_t ts_ms = 0;
  uint32_t content = 0, input = 0, output = 0;
  std::vector<uint32_t> system, turn;
};

lake::Block ToBlock(const std::vector<Exchange>& exchanges) {
  engine::ExchangeRows rows(1);
  for (const Exchange& x : exchanges) {
    model::ExchangeView e;
    e.exchange_id = x.id, e.account_id = x.account, e.model = x.model, e.channel = x.channel;
    e.client_ip = x.client_ip, e.user_agent = x.user_agent, e.ja4 = x.ja4, e.api_key_id = x.key;
    e.org_id = x.org, e.ts_ms = x.ts_ms, e.input_tokens = x.input, e.output_tokens = x.output;
    model::Sketch sketch;
    sketch.present = !x.system.empty() || !x.turn.empty();
    sketch.system = x.system, sketch.turn = x.turn;
    rows.Append(e, x.content, sketch);
  }
  return rows.Take();
}

class LookupApi : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = StrCat(testing::TempDir(), "/lookup-api-", getpid());
    fs::remove_all(dir_);
    fs::create_directories(dir_);
    auto lake = lake::OpenEmbedded({.path = dir_ + "/lake", .threads = 2});
    ASSERT_TRUE(lake.ok()) << lake.status();
    lake_ = *std::move(lake);
    ASSERT_TRUE(lake_->Migrate().ok());
  }
  void TearDown() override {
    lake_.reset();
    fs::remove_all(dir_);
  }

  std::string Pick(const char* of, uint32_t n, uint32_t empty_in) {
    return random_() % empty_in == 0 ? "" : StrCat(of, random_() % n);
  }

  // Accounts of two kinds; `conflicts`: one id in two records, of one account or of two.
  void Fill(uint64_t seed, bool conflicts) {
    random_.seed(seed);
    for (const char* table : {"exchanges", "accounts", "attributed"})
      ASSERT_TRUE(lake_->Execute(StrCat("TRUNCATE TABLE ", table)).ok());
    accounts_.clear(), members_.clear();
    const uint32_t n = 8 + random_() % 8;
    std::vector<Exchange> all;
    uint32_t id = 0;
    for (uint32_t a = 0; a < n; ++a) {
      const std::string account = StrCat("acct-", a);
      accounts_.push_back(account);
      const bool member = a % 2 == 0;
      if (member) members_.push_back(account);
      // The last one is known by its record alone.
      const uint32_t exchanges = a + 1 == n ? 0 : 1 + random_() % 8;
      for (uint32_t i = 0; i < exchanges; ++i) {
        Exchange& x = all.emplace_back();
        x.id = StrCat("x-", id++);
        x.account = account;
        x.model = Pick("model-", 3, 9), x.channel = Pick("channel-", 2, 5);
        x.client_ip = Pick("203.0.113.", member ? 4 : 40, 9);
        x.user_agent = Pick("it's \\ agent\t", 3, 9), x.ja4 = Pick("t13d", 3, 9);
        x.key = Pick(StrCat("key-", a / 2, "-").c_str(), 2, 9), x.org = Pick("org-", 4, 3);
        x.ts_ms = kNow - int64_t(random_() % 9) * 300'000 - int64_t(random_() % 4) * 86'400'000;
        x.content = static_cast<uint32_t>(random_());
        x.input = random_() % 5 == 0 ? model::kNoTokens : static_cast<uint32_t>(random_() % 900);
        x.output = static_cast<uint32_t>(random_() % 900);
        // One scaffold, of which some lack a part; others' text is their own.
        const uint32_t from = member ? 100 : 5'000 * (a + 1);
        for (uint32_t h = 0; h < 9 && random_() % 12; ++h)
          (h < 3 ? x.system : x.turn).push_back(from + h);
      }
    }
    const size_t once = all.size();
    for (size_t i = 0; i < once; ++i) {
      if (random_() % 4 == 0) all.push_back(all[i]);
      if (!conflicts || random_() % 4 != 0) continue;
      Exchange other = all[random_() % once];
      other.id = all[i].id, other.content = static_cast<uint32_t>(random_());
      all.push_back(other);
    }
    std::shuffle(all.begin(), all.end(), random_);
    const size_t half = all.size() / 2;
    for (const auto& [begin, end] : {std::pair(size_t{0}, half), std::pair(half, all.size())})
      ASSERT_TRUE(
          lake_->Insert("exchanges", ToBlock({all.begin() + long(begin), all.begin() + long(end)}))
              .ok());
    std::string rows;
    for (const std::string& a : accounts_) {
      if (random_() % 5 == 0 && a != accounts_.back()) continue;
      const auto v = [&](const char* of, uint32_t most) {
        return lake::SqlString(random_() % 4 == 0 ? "" : StrCat(of, random_() % most));
      };
      base::StrAppend(&rows, rows.empty() ? "" : ",", "(", lake::SqlString(a), ",7,",
                      kNow - 9'000'000'000, ",", v("org-", 3), ",0,", v("plan-", 2), ",",
                      v("channel-", 2), ",", v("mail-", 2), ",", v("card-", 3), ",", v("kyc-", 2),
                      ",'','',", v("ref-", 3), ",", v("198.51.100.", 3), ")");
    }
    ASSERT_TRUE(lake_->Execute(StrCat("INSERT INTO accounts VALUES ", rows)).ok());
    rows.clear();
    for (const std::string& a : members_)
      base::StrAppend(&rows, rows.empty() ? "" : ",", "(1,'x',", lake::SqlString(a), ",'c1')");
    ASSERT_TRUE(lake_->Execute(StrCat("INSERT INTO attributed VALUES ", rows)).ok());
  }

  // As a scan does it.
  void Index(int threads) {
    link::TemplateOptions options;
    options.exchanges_min = 1;
    engine::LogBuilder builder(INT64_MIN, INT64_MAX, options, dir_, threads == 1 ? 1 : 1 << 30);
    ASSERT_TRUE(lake_
                    ->Query(StrCat("SELECT ", engine::kLogColumns, " FROM exchanges"),
                            [&](const lake::Block& b) { return builder.AddExchanges(b); })
                    .ok());
    ASSERT_TRUE(
        lake_
            ->Query("SELECT account_id, content, created_at, org_id, org_verified, plan, "
                    "channel, email_domain, payment_id, kyc, referrer, signup_ip FROM accounts",
                    [&](const lake::Block& b) { return builder.AddAccounts(b); })
            .ok());
    const base::Parallel parallel(threads);
    auto writer = lookup::Writer::Create(dir_ + "/accounts.index");
    ASSERT_TRUE(writer.ok()) << writer.status();
    link::Log log;
    uint64_t conflicts = 0;
    ASSERT_TRUE(builder.Finish(parallel, &log, &conflicts, writer->get()).ok());
    options.entities_min = 2;
    const std::vector<link::Template> templates = link::FindTemplates(log, options, parallel);
    ASSERT_TRUE(engine::IndexTemplates(log, templates, writer->get()).ok());
    templates_.clear();
    for (const link::Template& t : templates)
      for (const uint32_t row : t.rows)
        templates_[judge::TemplateId(t)].push_back(std::to_string(log.id[row]));
    ASSERT_TRUE((*writer)->Finish().ok());
    auto index = Lookup::Open(dir_ + "/accounts.index");
    ASSERT_TRUE(index.ok()) << index.status();
    index_ = *index;
  }

  // Rows of strings.
  std::set<std::vector<std::string>> Ask(const std::string& sql) {
    auto text = lake_->Report(sql, "JSONCompactStringsEachRow");
    EXPECT_TRUE(text.ok()) << text.status() << sql;
    std::set<std::vector<std::string>> out;
    simdjson::dom::parser parser;
    simdjson::dom::document_stream rows;
    const simdjson::padded_string padded(*text);
    if (parser.parse_many(padded).get(rows) != simdjson::SUCCESS) return out;
    for (simdjson::dom::element row : rows) {
      std::vector<std::string> one;
      for (simdjson::dom::element cell : row) one.emplace_back(std::string_view(cell));
      EXPECT_TRUE(out.insert(one).second) << sql;
    }
    return out;
  }

  std::mt19937_64 random_;
  std::string dir_;
  std::unique_ptr<lake::Lake> lake_;
  std::vector<std::string> accounts_, members_;
  std::shared_ptr<const Lookup> index_;
  std::map<std::string, std::vector<std::string>> templates_;  // hashes of ids of their exchanges
};

TEST_F(LookupApi, SaysWhatSqlSaysHoweverOftenARecordIsThere) {
  // Of records with one id that with the smallest content counts.
  const std::string once =
      "(SELECT * FROM exchanges ORDER BY exchange_id, content, account_id, ts LIMIT 1 BY "
      "exchange_id)";
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    Fill(seed, true);
    ASSERT_NO_FATAL_FAILURE(Index(seed % 2 == 0 ? 1 : 3));
    const Lookup& x = *index_;
    for (size_t f = 0; f < lookup::kFields; ++f) {
      const auto field = Field(f);
      std::string column = lookup::FieldName(field);
      column = column.substr(column.find('.') + 1);
      std::set<std::vector<std::string>> both, back;
      for (uint32_t v = 1; v < x.values(field); ++v) {
        for (const lookup::Holder& h : x.Holders(field, v))
          both.insert({std::string(x.AccountId(h.account)), std::string(x.Value(field, v)),
                       std::to_string(h.exchanges), std::to_string(h.first_ms),
                       std::to_string(h.last_ms)});
      }
      for (uint32_t a = 0; a < x.accounts(); ++a) {
        const lookup::Account of = x.Read(a);
        for (const lookup::Use& u : of.of(field))
          back.insert({std::string(x.AccountId(a)), std::string(x.Value(field, u.value)),
                       std::to_string(u.exchanges), std::to_string(u.first_ms),
                       std::to_string(u.last_ms)});
      }
      const auto sql =
          OfRecord(field)
              ? Ask(StrCat("SELECT account_id, ", column, ", 0, 0, 0 FROM accounts WHERE ", column,
                           " != ''"))
              : Ask(StrCat("SELECT account_id, ", column, ", count(), min(ts), max(ts) FROM ", once,
                           " WHERE ", column, " != '' GROUP BY account_id, ", column));
      EXPECT_EQ(both, sql) << lookup::FieldName(field);
      EXPECT_EQ(back, sql) << lookup::FieldName(field);
      EXPECT_FALSE(sql.empty());
    }
    std::set<std::vector<std::string>> sums;
    for (uint32_t a = 0; a < x.accounts(); ++a) {
      const lookup::Account of = x.Read(a);
      if (of.exchanges == 0) continue;
      std::vector<std::string> row = {
          std::string(x.AccountId(a)),     std::to_string(of.exchanges),
          std::to_string(of.input_tokens), std::to_string(of.output_tokens),
          std::to_string(of.with_text),    std::to_string(of.first_ms),
          std::to_string(of.last_ms)};
      for (const uint64_t n : of.hours) row.push_back(std::to_string(n));
      sums.insert(row);
    }
    std::string hours;
    for (int h = 0; h < 24; ++h)
      base::StrAppend(&hours, ", countIf(intDiv(ts, 3600000) % 24 = ", h, ")");
    EXPECT_EQ(
        sums,
        Ask(StrCat(
            "SELECT account_id, count(), sumIf(toUInt64(input_tokens), input_tokens != "
            "4294967295), "
            "sumIf(toUInt64(output_tokens), output_tokens != 4294967295), countIf(features != 0), "
            "min(ts), max(ts)",
            hours, " FROM ", once, " GROUP BY account_id")));
    EXPECT_EQ(x.active(), sums.size());
    // Whose exchange it is and when it was, SQL knows.
    std::map<std::string, std::pair<std::string, int64_t>> sent;
    for (const auto& row : Ask(StrCat("SELECT exchange_id, account_id, ts FROM ", once)))
      sent[std::to_string(base::Hash64(row[0]))] = {row[1], std::stoll(row[2])};
    EXPECT_EQ(x.templates(), templates_.size());
    EXPECT_FALSE(templates_.empty());
    for (const auto& [id, exchanges] : templates_) {
      std::map<std::string, std::vector<int64_t>> expected;
      for (const std::string& e : exchanges)
        expected[sent.at(e).first].push_back(sent.at(e).second);
      const auto t = x.FindTemplate(id);
      ASSERT_TRUE(t) << id;
      const auto holders = x.TemplateHolders(*t);
      EXPECT_EQ(holders.size(), expected.size());
      for (const lookup::Holder& h : holders) {
        const auto& times = expected[std::string(x.AccountId(h.account))];
        ASSERT_EQ(h.exchanges, times.size());
        EXPECT_EQ(h.first_ms, *std::min_element(times.begin(), times.end()));
        EXPECT_EQ(h.last_ms, *std::max_element(times.begin(), times.end()));
      }
    }
  }
}

TEST_F(LookupApi, AnswersAreThoseOfTheLake) {
  uint64_t compared = 0;
  for (uint64_t seed = 11; seed <= 13; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    Fill(seed, false);
    ASSERT_NO_FATAL_FAILURE(Index(2));
    const std::string kept = StrCat(dir_, "/of-", seed);
    auto log =
        audit::AuditLog::Open({kept + "/audit", [] { return kNow; }, "", audit::kSegmentBytes});
    ASSERT_TRUE(log.ok()) << log.status();
    auto state = state::State::Open({kept + "/state", log->get(), [] { return kNow; }, 100});
    ASSERT_TRUE(state.ok()) << state.status();
    state::PassResult pass;
    auto& c = pass.campaigns.emplace_back();
    c.campaign.id = c.campaign.finding_id = "c1";
    c.campaign.name = "amber-otter", c.campaign.status = "current",
    c.campaign.verdict = "distillation";
    c.campaign.json =
        R"({"templates":[{"id":"tpl_1","exchanges":9,"hashes":[100,101,102,103,104,105,106,107,108]}]})";
    c.members_given = true;
    for (size_t i = 0; i < members_.size(); ++i)
      c.members.push_back({members_[i], i % 2 ? "pool_1" : "", "distillation", "why", .9, 5, 4});
    // Another, of templates that the index knows.
    pass.campaigns.push_back(c);
    auto& known = pass.campaigns.back();
    known.campaign.id = known.campaign.finding_id = "c2";
    known.campaign.name = "slate-wren";
    known.campaign.json.clear();
    for (const auto& [id, exchanges] : templates_)
      base::StrAppend(&known.campaign.json, known.campaign.json.empty() ? "" : ",", R"({"id":")",
                      id, R"(","exchanges":1,"hashes":[100]})");
    known.campaign.json = StrCat(R"({"templates":[)", known.campaign.json, "]}");
    ASSERT_TRUE((*state)->RecordPass(pass).ok());
    serve::Router routers[2];
    uint64_t asked[2] = {};
    for (int indexed = 0; indexed < 2; ++indexed) {
      serve::ApiContext context;
      context.state = state->get();
      context.audit = log->get();
      context.now_ms = [] { return kNow; };
      context.report = [&, indexed](std::string_view sql, std::string_view format,
                                    const lake::ReportBounds& bounds) {
        ++asked[indexed];
        return lake_->Report(sql, format, bounds);
      };
      if (indexed) context.lookup = [this] { return index_; };
      serve::AddApiRoutes(&routers[indexed], context);
    }
    const auto call = [&](int indexed, const std::string& target) {
      const size_t q = std::min(target.find('?'), target.size());
      const std::string path = "/api/v1" + target.substr(0, q),
                        query = target.substr(std::min(q + 1, target.size()));
      const auto match = routers[indexed].Find("GET", path);
      serve::Principal who;
      who.name = "ada", who.roles = serve::RoleBit(serve::Role::kAnalyst);
      serve::HttpRequest r;
      r.method = "GET", r.path = path, r.query = query, r.principal = &who, r.params = match.params;
      return match.route->handler(r);
    };
    // When it was found out, and the words that say from where, may differ; of texts a sample is
    // looked at in the lake, twice where a record is there twice.
    static const std::regex kOwn(
        R"x("as_of":("[^"]*"|null)|"notes":\[[^\]]*\]|"sampled":\d+|"templates":\[[^\]]*\](?=,"campaigns"))x");
    const auto same = [&](const std::string& target) {
      const serve::HttpReply slow = call(0, target), fast = call(1, target);
      EXPECT_EQ(fast.status, slow.status) << target;
      EXPECT_EQ(std::regex_replace(fast.body, kOwn, ""), std::regex_replace(slow.body, kOwn, ""))
          << target;
      compared += slow.status == 200;
    };
    for (const std::string& a : accounts_) same(StrCat("/accounts/", a, "/profile"));
    for (size_t i = 0; i + 1 < accounts_.size(); ++i)
      same(StrCat("/compare?a=", accounts_[i], "&b=", accounts_[i + 1]));
    for (const char* f : {"client_ip=203.0.113.1", "client_ip=203.0.113.3", "ja4=t13d1",
                          "user_agent=it's%20%5C%20agent%091", "api_key_id=key-1-1", "org_id=org-2",
                          "signup_ip=198.51.100.1", "email_domain=mail-1", "payment_id=card-2",
                          "referrer=ref-0", "client_ip=192.0.2.77", "country=XX"}) {
      std::string field = f;
      same("/holders?field=" + field.replace(field.find('='), 1, "&value="));
    }
    same("/holders?field=template&value=tpl_1&campaign=c1");
    same("/campaigns/c1/graph");
    same("/campaigns/c1/graph/nodes?limit=500");
    for (const std::string& m : members_)
      same(StrCat("/campaigns/c1/graph/nodes?limit=500&linked=a:", m));
    EXPECT_LT(asked[1], asked[0] / 2);
    // Who sent a template that the last pass found is asked of the index alone.
    const uint64_t before = asked[1];
    for (const auto& [id, exchanges] : templates_) {
      const serve::HttpReply r = call(1, StrCat("/holders?field=template&campaign=c2&value=", id));
      EXPECT_NE(r.body.find(StrCat(R"({"total":)",
                                   index_->TemplateHolders(*index_->FindTemplate(id)).size(), ",")),
                std::string::npos)
          << r.body;
    }
    const serve::HttpReply nodes = call(1, "/campaigns/c2/graph/nodes?kind=template");
    EXPECT_NE(nodes.body.find(templates_.begin()->first), std::string::npos) << nodes.body;
    EXPECT_EQ(asked[1], before);
  }
  EXPECT_GT(compared, 100u);
}

}  // namespace
}  // namespace stillwatch
