#include "engine/log_builder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "base/hash.h"
#include "base/str.h"
#include "engine/exchange_rows.h"

namespace stillwatch::engine {
namespace {

using base::StrCat;

std::string Message(const absl::Status& s) { return {s.message().data(), s.message().size()}; }

// An exchange as a log has it, and the hash of its record.
struct Exchange {
  std::string id, account;
  int64_t ts_ms = 0;
  uint32_t content = 0;
  std::string model = {}, client_ip = {}, ja4 = {};
  std::vector<std::string> tools = {}, issued = {}, presented = {};
  float temperature = std::numeric_limits<float>::quiet_NaN();
  uint32_t input_tokens = model::kNoTokens;
  std::vector<uint32_t> system = {}, turn = {};
};

lake::Block ToBlock(const std::vector<Exchange>& exchanges) {
  ExchangeRows rows(1);
  for (const Exchange& x : exchanges) {
    model::ExchangeView e;
    e.exchange_id = x.id;
    e.account_id = x.account;
    e.ts_ms = x.ts_ms;
    e.model = x.model;
    e.client_ip = x.client_ip;
    e.ja4 = x.ja4;
    e.temperature = x.temperature;
    e.input_tokens = x.input_tokens;
    e.tools.assign(x.tools.begin(), x.tools.end());
    e.signatures_issued.assign(x.issued.begin(), x.issued.end());
    e.signatures_presented.assign(x.presented.begin(), x.presented.end());
    model::Sketch sketch;
    sketch.present = !x.system.empty() || !x.turn.empty();
    sketch.system = x.system;
    sketch.turn = x.turn;
    rows.Append(e, x.content, sketch);
  }
  return rows.Take();
}

struct AccountRecord {
  model::Account account;
  uint32_t content = 0;
};

AccountRecord Record(std::string id, std::string payment = "", uint32_t content = 0,
                     std::optional<int64_t> created_at = std::nullopt) {
  AccountRecord r;
  r.account.account_id = std::move(id);
  r.account.payment_id = std::move(payment);
  r.account.created_at_ms = created_at;
  r.content = content;
  return r;
}

lake::Block ToBlock(const std::vector<AccountRecord>& records) {
  std::vector<uint32_t> content;
  std::vector<int64_t> created;
  std::vector<uint8_t> verified;
  std::map<std::string, lake::StringColumn> text;
  for (const AccountRecord& r : records) {
    const model::Account& a = r.account;
    content.push_back(r.content);
    created.push_back(a.created_at_ms.value_or(INT64_MIN));
    verified.push_back(a.org_verified);
    text["account_id"].Append(a.account_id);
    text["org_id"].Append(a.org_id);
    text["plan"].Append(a.plan);
    text["channel"].Append(a.channel);
    text["email_domain"].Append(a.email_domain);
    text["payment_id"].Append(a.payment_id);
    text["kyc"].Append(a.kyc);
    text["referrer"].Append(a.referrer);
    text["signup_ip"].Append(a.signup_ip);
  }
  lake::Block b;
  b.columns.push_back({"content", content});
  b.columns.push_back({"created_at", created});
  b.columns.push_back({"org_verified", verified});
  for (auto& [name, column] : text) b.columns.push_back({name, std::move(column)});
  return b;
}

// Everything that a log says, without the numbers of its sets of texts, which may differ.
std::string Written(const link::Log& log) {
  std::ostringstream out;
  for (uint32_t a = 0; a < log.accounts(); ++a) {
    const model::Account& r = log.account[a];
    out << "account " << log.account_id[a] << ' ' << r.account_id << ' ' << int{log.described[a]}
        << ' ' << r.created_at_ms.value_or(-1) << ' ' << r.payment_id << ' ' << r.org_id << ' '
        << log.entity[a] << ' ' << log.first_row[a] << '\n';
  }
  for (uint32_t i = 0; i < log.rows(); ++i) {
    out << log.id[i] << ' ' << log.row_account[i] << ' ' << log.ts_ms[i] << ' '
        << log.models[log.model[i]] << '|' << log.setting_names[log.settings[i]] << '|'
        << log.addresses[log.address[i]] << '|' << log.ja4s[log.ja4[i]] << '|' << log.model[i]
        << ' ' << log.settings[i] << ' ' << log.address[i] << ' ' << log.ja4[i] << ' '
        << log.input_tokens[i] << ' ' << log.output_tokens[i] << ' ' << log.features[i] << ' '
        << log.item[i] << " :";
    for (const uint64_t h : log.texts[log.text[i]]) out << ' ' << h;
    out << '\n';
  }
  for (const auto& p : log.presented) out << "presented " << p.row << ' ' << p.signature << '\n';
  for (const auto& [signature, account] : log.issued)
    out << "issued " << signature << ' ' << account << '\n';
  for (const auto* names : {&log.models, &log.setting_names, &log.addresses, &log.ja4s}) {
    for (const std::string& name : *names) out << name << '\n';
  }
  return out.str();
}

struct Input {
  std::vector<Exchange> exchanges;
  std::vector<AccountRecord> accounts;
  int64_t since = INT64_MIN, until = INT64_MAX;
  link::TemplateOptions options;
  std::string folder = testing::TempDir();
  uint64_t memory_bytes = LogBuilder::kMemoryBytes;
};

struct Built {
  absl::Status status;
  link::Log log;
  uint64_t conflicts = 0;
};

// Blocks of `rows` exchanges, dealt out to `threads` threads.
Built Build(const Input& in, size_t rows = 1'000'000, int threads = 1) {
  Built out;
  LogBuilder builder(in.since, in.until, in.options, in.folder, in.memory_bytes);
  std::vector<lake::Block> blocks;
  for (size_t i = 0; i < in.exchanges.size(); i += rows) {
    blocks.push_back(ToBlock(std::vector<Exchange>(
        in.exchanges.begin() + static_cast<ptrdiff_t>(i),
        in.exchanges.begin() + static_cast<ptrdiff_t>(std::min(in.exchanges.size(), i + rows)))));
  }
  std::vector<absl::Status> status(static_cast<size_t>(threads));
  std::vector<std::thread> all;
  for (size_t w = 0; w < status.size(); ++w) {
    all.emplace_back([&, w] {
      for (size_t i = w; i < blocks.size() && status[w].ok(); i += status.size())
        status[w] = builder.AddExchanges(blocks[i]);
    });
  }
  for (std::thread& t : all) t.join();
  for (const absl::Status& s : status) out.status.Update(s);
  for (size_t i = 0; i < in.accounts.size() && out.status.ok(); i += 2) {
    out.status = builder.AddAccounts(ToBlock(std::vector<AccountRecord>(
        in.accounts.begin() + static_cast<ptrdiff_t>(i),
        in.accounts.begin() + static_cast<ptrdiff_t>(std::min(in.accounts.size(), i + 2)))));
  }
  if (out.status.ok())
    out.status = builder.Finish(base::Parallel(threads), &out.log, &out.conflicts);
  return out;
}

std::vector<int64_t> Times(const Built& b) {
  std::vector<int64_t> out;
  for (size_t row = 0; row < b.log.rows(); ++row) out.push_back(b.log.ts_ms[row]);
  return out;
}

std::vector<std::string> Accounts(const Built& b) { return b.log.account_id; }

// Exchanges of 40 accounts with all that they may have, some twice and some with other content.
Input Motley(uint32_t seed, size_t n) {
  std::mt19937 random(seed);
  Input in;
  for (size_t i = 0; i < n; ++i) {
    Exchange x;
    x.id = StrCat("x", i);
    x.account = StrCat("a", random() % 40);
    x.ts_ms = 1'000'000 + random() % 5'000;
    x.content = random();
    x.model = StrCat("m", random() % 5);
    x.client_ip = random() % 3 ? StrCat("10.0.0.", random() % 30) : "";
    x.ja4 = random() % 2 ? StrCat("j", random() % 4) : "";
    if (random() % 2) x.temperature = static_cast<float>(random() % 3) / 2;
    if (random() % 4 == 0) x.tools = {"b", StrCat("t", random() % 2)};
    if (random() % 3) x.input_tokens = random() % 100;
    if (random() % 5 == 0) x.issued = {StrCat("s", random() % 50)};
    if (random() % 9 == 0) x.presented = {StrCat("s", random() % 50), StrCat("s", random() % 50)};
    std::set<uint32_t> system, turn;
    if (random() % 2) system = {1, 2, 3, 4};
    if (random() % 4)
      turn = {11, 12, static_cast<uint32_t>(random() % 40), static_cast<uint32_t>(random())};
    x.system.assign(system.begin(), system.end());
    x.turn.assign(turn.begin(), turn.end());
    in.exchanges.push_back(x);
    if (random() % 10 == 0) in.exchanges.push_back(x);
    if (random() % 10 == 0) {
      x.content = random();
      x.account = StrCat("a", random() % 41);
      x.ts_ms += static_cast<int64_t>(random() % 3);
      in.exchanges.push_back(x);
    }
  }
  for (uint32_t a = 0; a < 45; ++a)
    in.accounts.push_back(Record(StrCat("a", a), StrCat("card", a % 7), random()));
  for (uint32_t a = 0; a < 9; ++a) in.accounts.push_back(Record(StrCat("a", a), "other", random()));
  return in;
}

TEST(LogBuilder, TheOrderOfBlocksAndTheNumberOfThreadsDoNotMatter) {
  Input in = Motley(1, 2'000);
  const Built first = Build(in);
  ASSERT_TRUE(first.status.ok()) << first.status;
  EXPECT_EQ(first.log.rows(), 2'000u);
  EXPECT_GT(first.conflicts, 50u);
  const std::string expected = Written(first.log);
  std::mt19937 random(1);
  for (const auto& [rows, threads] :
       std::vector<std::pair<size_t, int>>{{1'000'000, 3}, {100, 1}, {37, 4}, {1, 8}}) {
    std::shuffle(in.exchanges.begin(), in.exchanges.end(), random);
    std::shuffle(in.accounts.begin(), in.accounts.end(), random);
    const Built b = Build(in, rows, threads);
    ASSERT_TRUE(b.status.ok()) << b.status;
    EXPECT_EQ(b.conflicts, first.conflicts);
    EXPECT_EQ(Written(b.log) == expected, true)
        << rows << " rows a block, " << threads << " threads";
  }
}

TEST(LogBuilder, RowsAreInTheCanonicalOrderAndComplete) {
  const Input in = Motley(2, 3'000);
  const Built b = Build(in);
  ASSERT_TRUE(b.status.ok()) << b.status;
  const link::Log& log = b.log;
  std::map<uint64_t, const Exchange*> winner;
  for (const Exchange& x : in.exchanges) {
    const Exchange*& w = winner[base::Hash64(x.id)];
    if (w == nullptr || x.content < w->content) w = &x;
  }
  ASSERT_EQ(log.rows(), winner.size());
  for (uint32_t i = 0; i < log.rows(); ++i) {
    if (i > 0) {
      ASSERT_LT(std::tuple(log.row_account[i - 1], log.ts_ms[i - 1], log.id[i - 1]),
                std::tuple(log.row_account[i], log.ts_ms[i], log.id[i]));
    }
    const Exchange& x = *winner.at(log.id[i]);
    ASSERT_EQ(log.account_id[log.row_account[i]], x.account);
    ASSERT_EQ(log.ts_ms[i], x.ts_ms);
    ASSERT_EQ(log.models[log.model[i]], x.model);
    ASSERT_EQ(log.addresses[log.address[i]], x.client_ip);
    ASSERT_EQ(log.ja4s[log.ja4[i]], x.ja4);
    ASSERT_EQ(log.input_tokens[i], x.input_tokens);
    ASSERT_EQ(log.output_tokens[i], model::kNoTokens);
    ASSERT_EQ(log.features[i] != 0, !x.system.empty() || !x.turn.empty());
    ASSERT_EQ(log.item[i], link::ItemOf(x.turn));
    std::set<uint64_t> presented, expected;
    for (const auto& p : log.PresentedBy(i)) presented.insert(p.signature);
    for (const std::string& s : x.presented) expected.insert(base::Hash64(s));
    ASSERT_EQ(presented, expected);
  }
  for (const auto* names :
       {&log.models, &log.setting_names, &log.addresses, &log.ja4s, &log.account_id}) {
    EXPECT_TRUE(std::is_sorted(names->begin(), names->end()));
    EXPECT_TRUE(std::adjacent_find(names->begin(), names->end()) == names->end());
    if (names != &log.account_id) {
      EXPECT_EQ(names->front(), "");
    }
  }
}

TEST(LogBuilder, OnlyFrequentHashesAreKeptAndTheyAllAre) {
  const Input in = Motley(3, 2'000);
  const Built b = Build(in);
  ASSERT_TRUE(b.status.ok());
  std::map<uint64_t, uint32_t> count;  // as read, duplicates included
  std::map<uint64_t, std::pair<uint32_t, std::vector<uint64_t>>> text;  // winner's content, hashes
  for (const Exchange& x : in.exchanges) {
    std::vector<uint64_t> salted;
    for (const uint32_t h : x.system) salted.push_back(link::SaltSystem(h));
    for (const uint32_t h : x.turn) salted.push_back(link::SaltTurn(h));
    for (const uint64_t h : salted) ++count[h];
    auto& t = text[base::Hash64(x.id)];
    if (t.second.empty() || x.content < t.first) t = {x.content, salted};
  }
  size_t kept = 0, dropped = 0;
  for (uint32_t i = 0; i < b.log.rows(); ++i) {
    const auto set = b.log.texts[b.log.text[i]];
    for (const uint64_t h : text[b.log.id[i]].second) {
      const bool there = std::find(set.begin(), set.end(), h) != set.end();
      ASSERT_EQ(there, count[h] >= in.options.exchanges_min) << h << " " << count[h];
      ++(there ? kept : dropped);
    }
  }
  EXPECT_GT(kept, 1'000u);
  EXPECT_GT(dropped, 1'000u);
}

TEST(LogBuilder, TheSmallestContentHashWinsAndOtherContentIsCounted) {
  Input in;
  const auto add = [&](const char* id, const char* account, int64_t ts, uint32_t content) {
    in.exchanges.push_back({.id = id, .account = account, .ts_ms = ts, .content = content});
  };
  add("twice", "a", 10, 7);
  add("twice", "a", 10, 7);  // the same record: no conflict
  add("three", "a", 11, 30);
  add("three", "b", 12, 20);  // wins
  add("three", "c", 13, 40);
  add("three", "c", 13, 40);
  add("once", "d", 14, 1);
  for (int order = 0; order < 2; ++order) {
    const Built b = Build(in, 2);
    ASSERT_TRUE(b.status.ok());
    EXPECT_EQ(b.conflicts, 3u);
    ASSERT_EQ(b.log.rows(), 3u);
    // Accounts that lost everything stay, without rows.
    EXPECT_EQ(Accounts(b), (std::vector<std::string>{"a", "b", "c", "d"}));
    EXPECT_EQ(b.log.first_row, (std::vector<uint64_t>{0, 1, 2, 2, 3}));
    EXPECT_EQ(Times(b), (std::vector<int64_t>{10, 12, 14}));
    EXPECT_EQ(b.log.id[1], base::Hash64("three"));
    std::reverse(in.exchanges.begin(), in.exchanges.end());
  }
}

TEST(LogBuilder, OfALosersSignaturesNothingStays) {
  Input in;
  in.exchanges.push_back({.id = "x", .account = "a", .ts_ms = 1, .content = 1, .issued = {"won"}});
  in.exchanges.push_back({.id = "x",
                          .account = "b",
                          .ts_ms = 1,
                          .content = 2,
                          .issued = {"lost"},
                          .presented = {"other"}});
  in.exchanges.push_back({.id = "y",
                          .account = "c",
                          .ts_ms = 1,
                          .content = 1,
                          .issued = {"other", "never"},
                          .presented = {"won", "lost"}});
  const Built b = Build(in);
  ASSERT_TRUE(b.status.ok());
  const uint64_t won = base::Hash64("won"), lost = base::Hash64("lost");
  ASSERT_EQ(b.log.presented.size(), 2u);
  EXPECT_EQ(b.log.PresentedBy(1).size(), 2u);
  // "other" was asked for by a loser alone; "never" by nobody.
  for (const auto& [signature, account] : b.log.issued) {
    EXPECT_NE(signature, lost);
    EXPECT_NE(signature, base::Hash64("never"));
  }
  EXPECT_EQ(
      std::count(b.log.issued.begin(), b.log.issued.end(), std::pair<uint64_t, uint32_t>(won, 0)),
      1);
}

TEST(LogBuilder, OfAnAccountsRecordsTheSmallestContentHashWins) {
  Input in;
  in.exchanges.push_back({.id = "x", .account = "b", .ts_ms = 1});
  in.accounts = {Record("b", "later", 9), Record("a", "alone", 3), Record("b", "first", 2),
                 Record("b", "last", 11)};
  const Built b = Build(in);
  ASSERT_TRUE(b.status.ok());
  EXPECT_EQ(Accounts(b), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(b.log.account[0].payment_id, "alone");
  EXPECT_EQ(b.log.account[1].payment_id, "first");
  EXPECT_EQ(b.log.Exchanges(0), 0u);
  EXPECT_EQ(b.log.Exchanges(1), 1u);
}

TEST(LogBuilder, TheWindowIsHalfOpenAndKnowsNoLaterAccounts) {
  Input in;
  for (const int64_t ts : {99, 100, 150, 199, 200}) {
    in.exchanges.push_back({.id = StrCat("x", ts), .account = StrCat("a", ts), .ts_ms = ts});
  }
  in.accounts = {Record("a99", "", 0, 50),    // before the window, and its row is not in it
                 Record("a150", "", 0, 999),  // has a row, whatever its record says
                 Record("a200", "", 0, 150),  // signed up in it, acted later
                 Record("b199", "", 0, 199), Record("b200", "", 0, 200), Record("unknown")};
  in.since = 100;
  in.until = 200;
  const Built b = Build(in, 2, 2);
  ASSERT_TRUE(b.status.ok());
  EXPECT_EQ(Times(b), (std::vector<int64_t>{100, 150, 199}));
  EXPECT_EQ(Accounts(b), (std::vector<std::string>{"a100", "a150", "a199", "a200", "a99", "b199"}));
  EXPECT_EQ(b.log.described, (std::vector<uint8_t>{0, 1, 0, 1, 1, 1}));
  in.until = INT64_MAX;
  const Built open = Build(in);
  EXPECT_EQ(open.log.rows(), 4u);
  EXPECT_EQ(open.log.accounts(), 8u);  // "b200" and "unknown" too
}

TEST(LogBuilder, RowsBeyondTheBoundGiveTheSameLog) {
  // More rows than one chunk has, so that some are in memory, some in the file.
  Input in = Motley(4, 2'000);
  for (uint32_t i = 0; i < 140'000; ++i) {
    Exchange x{.id = StrCat("y", i), .account = StrCat("b", i % 300), .ts_ms = i, .content = i};
    if (i % 3) x.turn = {i % 1'000, 1'000'000 + i};
    if (i % 5) x.system = {i % 7};
    in.exchanges.push_back(std::move(x));
  }
  in.folder = testing::TempDir() + "/rows";
  std::filesystem::create_directory(in.folder);
  const std::string expected = Written(Build(in, 10'000, 2).log);
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{600'000}}) {
    in.memory_bytes = bytes;
    const Built b = Build(in, 10'000, 2);
    ASSERT_TRUE(b.status.ok()) << b.status;
    EXPECT_EQ(Written(b.log) == expected, true) << bytes;
  }
  EXPECT_TRUE(std::filesystem::is_empty(in.folder)) << "the file has no name";
}

TEST(LogBuilder, AFolderThatCannotBeWrittenMattersOnlyWhenItIsNeeded) {
  Input in;
  for (uint32_t i = 0; i <= 65'536; ++i)
    in.exchanges.push_back({.id = StrCat("x", i), .account = "a", .ts_ms = i});
  in.folder = testing::TempDir() + "/no/such/folder";
  EXPECT_TRUE(Build(in).status.ok());
  in.memory_bytes = 0;
  const Built b = Build(in);
  EXPECT_EQ(b.status.code(), absl::StatusCode::kFailedPrecondition) << b.status;
  EXPECT_EQ(Message(b.status), StrCat(in.folder, ": a temporary file: No such file or directory"));
  // A chunk that is not full is not put there.
  in.exchanges.pop_back();
  EXPECT_TRUE(Build(in).status.ok());
}

TEST(LogBuilder, AFileThatIsCutShortIsAnError) {
  Input in;
  for (uint32_t i = 0; i <= 65'536; ++i) {
    Exchange x{.id = StrCat("x", i), .account = "a", .ts_ms = i};
    if (i < 65'536) x.turn = {i};
    in.exchanges.push_back(std::move(x));
  }
  LogBuilder builder(INT64_MIN, INT64_MAX, {}, testing::TempDir(), 0);
  ASSERT_TRUE(builder.AddExchanges(ToBlock(in.exchanges)).ok());
  // The file has no name, but this process has it open.
  int cut = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    const std::string to = std::filesystem::read_symlink(entry.path(), error).string();
    if (error || !to.ends_with("(deleted)") || to.find(testing::TempDir()) == to.npos) continue;
    ASSERT_EQ(::ftruncate(std::stoi(entry.path().filename()), 1'000), 0);
    ++cut;
  }
  ASSERT_EQ(cut, 1);
  link::Log log;
  uint64_t conflicts = 0;
  const absl::Status s = builder.Finish(base::Parallel(2), &log, &conflicts);
  ASSERT_FALSE(s.ok());
  EXPECT_EQ(Message(s), StrCat(testing::TempDir(), ": a temporary file: Input/output error"));
}

TEST(LogBuilder, ASketchOf255HashesIsKeptAndOneMoreRefused) {
  for (const bool system : {false, true}) {
    Input in;
    for (int row = 0; row < 30; ++row) {
      Exchange x{.id = StrCat("x", row), .account = "a", .ts_ms = row};
      for (uint32_t h = 0; h < 255; ++h) (system ? x.system : x.turn).push_back(h);
      in.exchanges.push_back(x);
    }
    const Built b = Build(in);
    ASSERT_TRUE(b.status.ok());
    EXPECT_EQ(b.log.texts[b.log.text[29]].size(), 255u);
    (system ? in.exchanges[7].system : in.exchanges[7].turn).push_back(255);
    const Built refused = Build(in);
    EXPECT_EQ(refused.status.code(), absl::StatusCode::kInternal);
    EXPECT_EQ(refused.status.message(), "log: a sketch of more than 255 hashes");
  }
}

TEST(LogBuilder, ABlockWithoutAColumnOrWithAnotherTypeIsAnError) {
  const Input in = Motley(7, 3);
  LogBuilder builder(INT64_MIN, INT64_MAX, {}, testing::TempDir());
  const lake::Block exchanges = ToBlock(in.exchanges), accounts = ToBlock(in.accounts);
  const std::string asked = StrCat(", ", kLogColumns, ",");
  for (size_t i = 0; i < exchanges.columns.size(); ++i) {
    lake::Block less = exchanges, other = exchanges;
    less.columns.erase(less.columns.begin() + static_cast<ptrdiff_t>(i));
    other.columns[i].data = std::vector<double>(exchanges.rows());
    // What is asked of the lake is what is needed.
    const bool needed = asked.find(StrCat(", ", exchanges.columns[i].name, ",")) != asked.npos;
    EXPECT_EQ(builder.AddExchanges(less).ok(), !needed) << exchanges.columns[i].name;
    EXPECT_EQ(builder.AddExchanges(other).ok(), !needed) << exchanges.columns[i].name;
  }
  for (size_t i = 0; i < accounts.columns.size(); ++i) {
    lake::Block less = accounts;
    less.columns.erase(less.columns.begin() + static_cast<ptrdiff_t>(i));
    EXPECT_FALSE(builder.AddAccounts(less).ok()) << accounts.columns[i].name;
  }
}

TEST(LogBuilder, TooManyModelsAreRefused) {
  Input in;
  for (uint32_t i = 0; i < 65'536; ++i) {
    in.exchanges.push_back(
        {.id = StrCat("x", i), .account = "a", .ts_ms = i, .model = i == 0 ? "" : StrCat("m", i)});
  }
  const Built most = Build(in);  // 65,535 and ""
  ASSERT_TRUE(most.status.ok()) << most.status;
  EXPECT_EQ(most.log.models.size(), 65'536u);
  in.exchanges[0].model = "one more";
  const Built b = Build(in);
  EXPECT_EQ(b.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(b.status.message(), "log: more than 65,535 model names");
}

TEST(LogBuilder, SettingsThatReadAlikeAreOne) {
  Input in;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float t : {.7f, .7000001f, nan, -nan, 1.f, 0.f}) {
    in.exchanges.push_back(
        {.id = StrCat("x", in.exchanges.size()), .account = "a", .ts_ms = 1, .temperature = t});
  }
  in.exchanges.push_back(
      {.id = "tools", .account = "a", .ts_ms = 1, .tools = {"one", "two"}, .temperature = 1});
  const Built b = Build(in);
  ASSERT_TRUE(b.status.ok());
  EXPECT_EQ(b.log.setting_names,
            (link::Names{"", "t=-0 p=-0 m=4294967295 tools=", "t=0 p=-0 m=4294967295 tools=",
                         "t=0.7 p=-0 m=4294967295 tools=", "t=1 p=-0 m=4294967295 tools=",
                         "t=1 p=-0 m=4294967295 tools=one,two"}));
}

TEST(LogBuilder, NothingGivesAnEmptyLog) {
  const Built b = Build({});
  ASSERT_TRUE(b.status.ok());
  EXPECT_EQ(b.log.rows(), 0u);
  EXPECT_EQ(b.log.accounts(), 0u);
  EXPECT_EQ(b.log.models, (link::Names{""}));
  Input only;
  only.accounts = {Record("b"), Record("a", "card")};
  const Built known = Build(only, 1, 3);
  ASSERT_TRUE(known.status.ok());
  EXPECT_EQ(Accounts(known), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(known.log.first_row, (std::vector<uint64_t>{0, 0, 0}));
  EXPECT_EQ(known.log.entities, 2u);
}

}  // namespace
}  // namespace stillwatch::engine
