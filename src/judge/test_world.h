// For tests: logs in which an operator, look-alikes and people are known.
#pragma once

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "link/test_log.h"
#include "model/sketch.h"

namespace stillwatch::judge {

// Who does what in a queue's work.
struct Crew {
  std::string prefix = "op";  // of the account ids
  uint32_t accounts = 20, exchanges = 1'000;
  uint32_t scaffold = 1'000;  // first of `shingles` hashes
  uint32_t shingles = 8;
  uint32_t cards = 5, addresses = 6;  // shared evenly; 0: none
  bool queue = true;                  // else each account on its own
  uint16_t purpose = model::kAsksReasoning | model::kAsksVerbatim;
  model::Capability capability = model::Capability::kTraceExtraction;
  // Changes the record or a row of account i.
  std::function<void(uint32_t i, model::Account&)> account = {};
  std::function<void(uint32_t i, link::TestRow&)> row = {};
};

// Fourteen days of a log. Deterministic for a seed.
struct World {
  static constexpr int kDays = 14;

  explicit World(uint32_t seed) : random(seed) {}

  // People who ask what they need, by day, from homes of their own.
  void People(uint32_t n, uint32_t each = 20) {
    for (uint32_t i = 0; i < n; ++i) {
      const std::string id = "p" + link::TestAccount(i);
      model::Account& record = log.Describe(id);
      record.payment_id = "card of " + id;
      record.email_domain = i % 3 ? "mail.example" : "post.example";
      record.created_at_ms = link::kTestDay - (40 + Draw(900)) * base::kMsPerDay;
      for (uint32_t k = 0; k < each; ++k) Own(id);
    }
  }
  // One exchange of a person's own.
  link::TestRow& Own(const std::string& id) {
    const int64_t day = Draw(kDays);
    link::TestRow& r = log.Add(id, link::kTestDay + day * base::kMsPerDay +
                                       (8 + Draw(12)) * base::kMsPerHour + Draw(base::kMsPerHour));
    r.address = "home of " + id;
    r.setting = "t=" + std::to_string(Draw(4));
    r.model = Draw(3) ? "atlas" : "birch";
    r.input_tokens = static_cast<uint32_t>(20 + Draw(400));
    r.output_tokens = static_cast<uint32_t>(20 + Draw(800));
    r.features.emplace().messages = static_cast<uint8_t>(1 + Draw(6));
    r.features->capability = static_cast<model::Capability>(Draw(model::kCapabilities));
    for (int h = 0; h < 6; ++h) r.turn.push_back(Word());
    std::sort(r.turn.begin(), r.turn.end());
    return r;
  }
  void Add(const Crew& c) {
    for (uint32_t i = 0; i < c.accounts; ++i) {
      const std::string id = Id(c, i);
      if (!log.described.contains(id)) {
        model::Account& record = log.Describe(id);
        record.payment_id =
            c.cards ? c.prefix + " card " + std::to_string(i % c.cards) : "card of " + id;
        record.email_domain = i % 2 ? "mail.example" : "post.example";
        record.created_at_ms = link::kTestDay - (60 + Draw(300)) * base::kMsPerDay;
      }
      if (c.account) c.account(i, log.described[id]);
    }
    // The queue works for some hours, rests for some.
    std::vector<int64_t> begins;
    for (int64_t at = 0; at < kDays * base::kMsPerDay; at += (3 + Draw(6)) * base::kMsPerHour)
      begins.push_back(at);
    for (uint32_t k = 0; k < c.exchanges; ++k) {
      const uint32_t i = static_cast<uint32_t>(k < c.accounts ? k : Draw(c.accounts));
      const int64_t at =
          c.queue ? begins[static_cast<size_t>(Draw(static_cast<int64_t>(begins.size())))] +
                        Draw(2 * base::kMsPerHour)
                  : Draw(kDays) * base::kMsPerDay + (8 + Draw(12)) * base::kMsPerHour +
                        Draw(base::kMsPerHour);
      link::TestRow& r = log.Add(Id(c, i), link::kTestDay + at);
      r.id = c.prefix + std::to_string(k);
      r.address = c.addresses ? c.prefix + " address " + std::to_string(Draw(c.addresses))
                              : "home of " + r.account;
      r.setting = "t=0";
      r.model = "atlas";
      r.input_tokens = 300;
      r.output_tokens = 900;
      model::TextFeatures& f = r.features.emplace();
      f.messages = 1;
      f.purpose = c.purpose;
      f.capability = c.capability;
      for (uint32_t h = 0; h < c.shingles; ++h) r.turn.push_back(c.scaffold + h);
      for (int h = 0; h < 6; ++h) r.turn.push_back(Word());
      std::sort(r.turn.begin(), r.turn.end());
      if (c.row) c.row(i, r);
    }
  }
  static std::string Id(const Crew& c, uint32_t i) { return c.prefix + "-" + link::TestAccount(i); }

  int64_t Draw(int64_t n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); }
  uint32_t Word() { return static_cast<uint32_t>((1 << 24) + Draw(int64_t{1} << 31)); }

  std::mt19937_64 random;
  link::TestLog log;
};

}  // namespace stillwatch::judge
