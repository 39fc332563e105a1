#include "ingest/jsonl/side_files.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <zstd.h>

#include <fstream>

#include "base/str.h"
#include "base/time.h"

namespace stillwatch::ingest {
namespace {

using base::StrCat;

std::string Write(std::string_view bytes) {
  const std::string path = testing::TempDir() + StrCat("side_", getpid());
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path;
}

// What is said after the path, so that ":LINE: " can be held to.
std::string Said(const absl::Status& s, const std::string& path) {
  std::string text(s.message().data(), s.message().size());
  return text.starts_with(path) ? text.substr(path.size()) : "no path: " + text;
}

template <typename T>
std::string Problem(absl::StatusOr<std::vector<T>> (*read)(const std::string&), std::string_view text) {
  const std::string path = Write(text);
  const auto got = read(path);
  return got.ok() ? "fine" : Said(got.status(), path);
}

std::string Permits(std::string_view text) { return Problem(&ReadPermits, text); }
std::string Actors(std::string_view text) { return Problem(&ReadKnownActors, text); }
std::string Traits(std::string_view text) { return Problem(&ReadTraits, text); }

struct Accounts {
  absl::Status status;
  std::vector<AccountRow> rows;
  std::vector<model::Reject> rejects;
};

Accounts ReadAll(const std::string& path) {
  Accounts a;
  a.status = ReadAccounts(
      path,
      [&](AccountRow row) {
        a.rows.push_back(std::move(row));
        return absl::OkStatus();
      },
      [&](model::Reject r) {
        a.rejects.push_back(std::move(r));
        return absl::OkStatus();
      });
  return a;
}

TEST(ReadAccounts, EveryFieldPlainAndCompressed) {
  const std::string text =
      R"({"account_id":"a","created_at":"2026-01-01T00:00:00Z","org_id":"o","org_verified":true,"plan":"p",)"
      R"("channel":"api","email_domain":"e","payment_id":"pay","kyc":"phone","country":"C","citizenship":"Z",)"
      R"("referrer":"r","signup_ip":"192.0.2.1","unknown":1})" "\r\n\n" R"({"account_id":"b","org_id":null})";
  std::string zstd(ZSTD_compressBound(text.size()), 0);
  zstd.resize(ZSTD_compress(zstd.data(), zstd.size(), text.data(), text.size(), 1));
  for (const std::string& bytes : {text, zstd}) {
    const Accounts a = ReadAll(Write(bytes));
    ASSERT_TRUE(a.status.ok()) << a.status;
    ASSERT_EQ(a.rows.size(), 2u);
    EXPECT_TRUE(a.rejects.empty());
    const model::Account& m = a.rows[0].account;
    EXPECT_EQ(m.created_at_ms, base::ParseRfc3339("2026-01-01T00:00:00Z"));
    EXPECT_TRUE(m.org_verified);
    EXPECT_EQ(StrCat(m.account_id, m.org_id, m.plan, m.channel, m.email_domain, m.payment_id, m.kyc, m.referrer, m.signup_ip),
              "aopapiepayphoner192.0.2.1");
    EXPECT_EQ(a.rows[0].country + a.rows[0].citizenship, "CZ");
    EXPECT_EQ(a.rows[1].account.account_id, "b");
    EXPECT_FALSE(a.rows[1].account.created_at_ms);
    EXPECT_NE(a.rows[0].content, a.rows[1].content);
  }
}

TEST(ReadAccounts, BadLinesAreRefusedAndTheRestGoesOn) {
  const std::pair<std::string, std::string> cases[] = {
      {"nonsense", "not valid JSON"},
      {"[]", "expected an object"},
      {R"({"account_id":7})", "account_id: expected a string"},
      {R"({"org_id":"o"})", "account_id: missing"},
      {R"({"account_id":""})", "account_id: missing"},
      {StrCat(R"({"account_id":")", std::string(513, 'a'), "\"}"), "account_id: longer than 512 bytes"},
      {R"({"account_id":"a","created_at":"2026-01-01"})", "created_at: not RFC 3339"},
      {R"({"account_id":"a","org_verified":"yes"})", "org_verified: expected a boolean"},
      {"{\"account_id\":\"\xFF\"}", "not valid JSON"},
      {R"({"account_id":"a")", "not valid JSON"},
  };
  for (const auto& [line, reason] : cases) {
    const Accounts a = ReadAll(Write("{\"account_id\":\"x\"}\n" + line + "\n{\"account_id\":\"y\"}\n"));
    EXPECT_TRUE(a.status.ok());
    EXPECT_EQ(a.rows.size(), 2u);
    ASSERT_EQ(a.rejects.size(), 1u) << line;
    EXPECT_EQ(a.rejects[0].line, 2u);
    EXPECT_EQ(a.rejects[0].offset, 19u);
    EXPECT_EQ(a.rejects[0].record, line);
    EXPECT_NE(a.rejects[0].reason.find(reason), std::string::npos) << a.rejects[0].reason;
  }
}

TEST(SideFiles, MissingOrFolder) {
  EXPECT_EQ(Said(ReadAll("/nonexistent").status, "/nonexistent"), ": cannot be opened: No such file or directory");
  for (const std::string& path : {std::string("/nonexistent"), testing::TempDir()}) {
    EXPECT_FALSE(ReadPermits(path).ok());
    EXPECT_FALSE(ReadKnownActors(path).ok());
    EXPECT_FALSE(ReadTraits(path).ok());
    EXPECT_FALSE(ReadAll(path).status.ok());
  }
}

TEST(ReadPermits, All) {
  const auto got = ReadPermits(Write(
      "- id: p1\n  org_id: o\n  models: [m1, m2]\n  exchanges_max: 500\n  valid_from: 2026-01-01T00:00:00Z\n"
      "  valid_until: 2027-01-01T00:00:00+01:00\n- id: p2\n  account_ids: [a, b]\n"));
  ASSERT_TRUE(got.ok()) << got.status();
  ASSERT_EQ(got->size(), 2u);
  const model::Permit& p = (*got)[0];
  EXPECT_EQ(p.id + p.org_id, "p1o");
  EXPECT_EQ(p.models, (std::vector<std::string>{"m1", "m2"}));
  EXPECT_EQ(p.exchanges_max, 500u);
  EXPECT_EQ(p.valid_from_ms, *base::ParseRfc3339("2026-01-01T00:00:00Z"));
  EXPECT_EQ(p.valid_until_ms, *base::ParseRfc3339("2026-12-31T23:00:00Z"));
  EXPECT_EQ((*got)[1].account_ids, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(Permits(""), "fine");
  EXPECT_EQ(Permits("[]"), "fine");
}

TEST(ReadPermits, Problems) {
  EXPECT_EQ(Permits("- id: p\n  org_id: o\n  modles: []\n"), ":3: unknown key \"modles\" of a permit");
  EXPECT_EQ(Permits("id: p"), ":1: expected a list of entries");
  EXPECT_EQ(Permits("- p"), ":1: expected an entry with keys");
  EXPECT_EQ(Permits("- org_id: o"), ":1: a permit needs an id");
  EXPECT_EQ(Permits("- id: p"), ":1: a permit needs either org_id or account_ids");
  EXPECT_EQ(Permits("- {id: p, org_id: o, account_ids: [a]}"), ":1: a permit needs either org_id or account_ids");
  EXPECT_EQ(Permits("- id: p\n  org_id: [o]"), ":2: org_id: expected a single value");
  EXPECT_EQ(Permits("- id: p\n  account_ids: a"), ":2: account_ids: expected a list");
  for (const char* bad : {"many", "-1", "1.5", "99999999999999999999999", "\"\""}) {
    EXPECT_EQ(Permits(StrCat("- id: p\n  org_id: o\n  exchanges_max: ", bad)), ":3: exchanges_max: expected a whole number");
  }
  EXPECT_EQ(Permits("- id: p\n  org_id: o\n  valid_from: 2026-01-01"), ":3: valid_from: not RFC 3339 with a zone");
  EXPECT_EQ(Permits("- id: p\n  org_id: o\n  valid_from: 2026-01-01T00:00:00Z\n  valid_until: 2025-01-01T00:00:00Z"),
            ":1: valid_until: not after valid_from");
  EXPECT_EQ(Permits("- id: p\n- [").substr(0, 18), ":2: not valid YAML");
}

TEST(ReadKnownActors, All) {
  const auto got = ReadKnownActors(Write(
      "- actor: x\n  basis: report\n  reliability: B\n  traits:\n  - {family: network, value: 192.0.2.1}\n"
      "  templates:\n  - [1, 0xFFFFFFFF]\n"));
  ASSERT_TRUE(got.ok()) << got.status();
  ASSERT_EQ(got->size(), 1u);
  const model::KnownActor& a = (*got)[0];
  EXPECT_EQ(a.actor + a.basis + a.reliability, "xreportB");
  ASSERT_EQ(a.traits.size(), 1u);
  EXPECT_EQ(a.traits[0].family + a.traits[0].value, "network192.0.2.1");
  EXPECT_EQ(a.templates, (std::vector<std::vector<uint32_t>>{{1, 0xFFFFFFFF}}));
}

TEST(ReadKnownActors, Problems) {
  EXPECT_EQ(Actors("- actor: x\n  motive: y"), ":2: unknown key \"motive\" of a known actor");
  EXPECT_EQ(Actors("- basis: x"), ":1: a known actor needs a name (actor)");
  EXPECT_EQ(Actors("- actor: x\n  reliability: G"), ":2: reliability: expected a letter from A to F");
  EXPECT_EQ(Actors("- actor: x\n  traits:\n  - family: network"), ":3: a trait needs family and value");
  EXPECT_EQ(Actors("- actor: x\n  traits:\n  - {family: f, value: v, valeu: w}"), ":3: unknown key \"valeu\" of a trait");
  EXPECT_EQ(Actors("- actor: x\n  templates: 7"), ":2: templates: expected a list of hash lists");
  EXPECT_EQ(Actors("- actor: x\n  templates:\n  - [hash]"), ":3: templates: not a 32-bit hash: \"hash\"");
  EXPECT_EQ(Actors("- actor: x\n  templates:\n  - [4294967296]"), ":3: templates: not a 32-bit hash: \"4294967296\"");
}

TEST(ReadTraits, Quoting) {
  const auto got = ReadTraits(Write("account_id,family,value,ts\r\na,network,192.0.2.1,\r\n\r\n\"b,\"\"c\"\"\",client,\"two\nlines\"\n"));
  ASSERT_TRUE(got.ok()) << got.status();
  ASSERT_EQ(got->size(), 2u);
  EXPECT_EQ((*got)[0].account_id + (*got)[0].family + (*got)[0].value, "anetwork192.0.2.1");
  EXPECT_EQ((*got)[1].account_id, "b,\"c\"");
  EXPECT_EQ((*got)[1].value, "two\nlines");
  EXPECT_EQ(Traits("account_id,family,value\n"), "fine");
  EXPECT_EQ(Traits("\xEF\xBB\xBF" "account_id,family,value\na,b,c"), "fine");
}

TEST(ReadTraits, Problems) {
  const std::string header = "account_id,family,value\n";
  EXPECT_EQ(Traits(""), ":1: empty; expected the header account_id,family,value[,ts]");
  EXPECT_EQ(Traits("a,b,c\n"), ":1: expected the header account_id,family,value[,ts]");
  EXPECT_EQ(Traits("account_id,family,value,extra\n"), ":1: expected the header account_id,family,value[,ts]");
  EXPECT_EQ(Traits(header + "a,b\n"), ":2: expected account_id,family,value[,ts]");
  EXPECT_EQ(Traits(header + "a,b,c,d,e\n"), ":2: expected account_id,family,value[,ts]");
  EXPECT_EQ(Traits(header + ",b,c\n"), ":2: expected account_id,family,value[,ts]");
  EXPECT_EQ(Traits(header + "a,\"b\n\n\",c\na,b\n"), ":5: expected account_id,family,value[,ts]");
  EXPECT_EQ(Traits(header + "a,b,\"c\n"), ":2: a quoted value does not end");
  EXPECT_EQ(Traits(header + "a,b,\"c\"d\n"), ":2: something follows a closing quote; write a quote inside a value twice");
}

}  // namespace
}  // namespace stillwatch::ingest
