// For tests: a Log from simple rows, put together the slow and obvious way.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/hash.h"
#include "base/time.h"
#include "link/log.h"
#include "model/exchange.h"
#include "model/sketch.h"

namespace stillwatch::link {

// What a row of a log says; everything but the account and the time may stay unsaid.
struct TestRow {
  std::string account;
  int64_t ts_ms = 0;
  std::string id;  // of the exchange; "": "x" and its place among the rows that were added
  std::string model, setting, address, ja4;
  uint32_t input_tokens = model::kNoTokens, output_tokens = model::kNoTokens;
  std::optional<model::TextFeatures> features;  // none: no text
  std::vector<uint32_t> system, turn;
  std::vector<uint64_t> presented, issued;
};

// Rows and accounts in any order. `rows` may be changed until Build.
struct TestLog {
  std::vector<TestRow> rows;
  std::map<std::string, model::Account> described;

  TestRow& Add(std::string account, int64_t ts_ms) {
    TestRow row;
    row.account = std::move(account);
    row.ts_ms = ts_ms;
    row.id = "x" + std::to_string(rows.size());
    rows.push_back(std::move(row));
    return rows.back();
  }
  model::Account& Describe(const std::string& account) {
    model::Account& a = described[account];
    a.account_id = account;
    return a;
  }

  // Sets of texts are numbered in the order of `rows`.
  Log Build() const {
    Log log;
    std::set<std::string> accounts;
    for (const TestRow& r : rows) accounts.insert(r.account);
    for (const auto& [id, record] : described) accounts.insert(id);
    std::map<std::string, uint32_t> number;
    for (const std::string& id : accounts) {
      number[id] = static_cast<uint32_t>(log.account_id.size());
      log.account_id.push_back(id);
      const auto it = described.find(id);
      log.described.push_back(it != described.end());
      log.account.push_back(it != described.end() ? it->second : model::Account());
      log.account.back().account_id = id;
    }
    const auto intern = [&](std::string TestRow::*column, Names* names) {
      std::set<std::string> values = {""};
      for (const TestRow& r : rows) values.insert(r.*column);
      names->assign(values.begin(), values.end());
    };
    intern(&TestRow::model, &log.models);
    intern(&TestRow::setting, &log.setting_names);
    intern(&TestRow::address, &log.addresses);
    intern(&TestRow::ja4, &log.ja4s);
    const auto of = [](const Names& names, const std::string& value) {
      return static_cast<uint32_t>(std::lower_bound(names.begin(), names.end(), value) -
                                   names.begin());
    };
    log.first_row.assign(accounts.size() + 1, 0);
    for (const TestRow& r : rows) ++log.first_row[number[r.account] + 1];
    for (size_t a = 0; a < accounts.size(); ++a) log.first_row[a + 1] += log.first_row[a];
    std::vector<uint32_t> text(rows.size()), order(rows.size());
    for (uint32_t i = 0; i < rows.size(); ++i) {
      std::vector<uint64_t> salted;
      for (const uint32_t h : rows[i].system) salted.push_back(SaltSystem(h));
      for (const uint32_t h : rows[i].turn) salted.push_back(SaltTurn(h));
      text[i] = log.texts.Add(salted);
      order[i] = i;
    }
    std::sort(order.begin(), order.end(), [&](uint32_t x, uint32_t y) {
      return std::tuple(number[rows[x].account], rows[x].ts_ms, base::Hash64(rows[x].id)) <
             std::tuple(number[rows[y].account], rows[y].ts_ms, base::Hash64(rows[y].id));
    });
    for (const uint32_t i : order) {
      const TestRow& r = rows[i];
      const uint32_t place = static_cast<uint32_t>(log.ts_ms.size());
      log.id.push_back(base::Hash64(r.id));
      log.ts_ms.push_back(r.ts_ms);
      log.model.push_back(static_cast<uint16_t>(of(log.models, r.model)));
      log.settings.push_back(of(log.setting_names, r.setting));
      log.address.push_back(of(log.addresses, r.address));
      log.ja4.push_back(of(log.ja4s, r.ja4));
      log.input_tokens.push_back(r.input_tokens);
      log.output_tokens.push_back(r.output_tokens);
      // As the engine stores it: 0 is no text.
      log.features.push_back(
          !r.features ? 0 : ShortFeatures(std::max(r.features->Pack(), uint64_t{1})));
      log.item.push_back(ItemOf(r.turn));
      log.text.push_back(text[i]);
      for (const uint64_t s : r.presented) log.presented.push_back({place, s});
      for (const uint64_t s : r.issued) log.issued.push_back({s, number[r.account]});
    }
    std::sort(log.presented.begin(), log.presented.end());
    std::sort(log.issued.begin(), log.issued.end());
    log.Finish();
    return log;
  }
};

// A day in the logs of tests, so that slots and days fall where they are meant to.
inline constexpr int64_t kTestDay = 20'000 * base::kMsPerDay;  // 2024-10-04

// "a007": ascends as its number does, below 1,000.
inline std::string TestAccount(uint32_t i) {
  const std::string digits = std::to_string(i);
  return "a" + std::string(digits.size() < 3 ? 3 - digits.size() : 0, '0') + digits;
}

}  // namespace stillwatch::link
