#include "ingest/jsonl/canonical.h"

#include <gtest/gtest.h>

#include "base/time.h"
#include "ingest/content_hash.h"
#include "ingest/jsonl/jsonl_source.h"
#include "sketch/sketcher.h"

namespace stillwatch::ingest {
namespace {

const int64_t kNow = *base::ParseRfc3339("2026-04-22T00:00:00Z");

// Parses, writes, parses again: the same content both times, and the same line.
void RoundTrip(std::string line) {
  RecordParser first(kNow), second(kNow);
  model::ExchangeView a, b;
  const size_t size = line.size();
  line.append(64, '\0');
  ASSERT_TRUE(first.Parse(std::string_view(line).substr(0, size), &a).ok()) << line;
  std::string written, again;
  AppendCanonical(a, a.has_sketch ? &a.sketch : nullptr, &written);
  const size_t n = written.size();
  std::string padded = written + std::string(64, '\0');
  const absl::Status s = second.Parse(std::string_view(padded).substr(0, n), &b);
  ASSERT_TRUE(s.ok()) << s << "\n" << written;
  EXPECT_EQ(ContentHash(a), ContentHash(b)) << written;
  AppendCanonical(b, b.has_sketch ? &b.sketch : nullptr, &again);
  EXPECT_EQ(written, again);
}

TEST(Canonical, WhatIsReadIsWrittenAndReadTheSame) {
  RoundTrip(R"({"exchange_id":"e","ts":"2026-01-02T03:04:05.678Z","account_id":"a"})");
  RoundTrip(
      R"({"exchange_id":"e<&>\"\\","ts":"2026-01-02T03:04:05.678Z","account_id":"a","org_id":"o","api_key_id":"k",)"
      R"("session_id":"s","channel":"cloud:x","model":"m","operation":"chat","messages":[{"role":"system","content":"S\n"},)"
      R"({"role":"user","content":"é \u0001"}],"response":"r","status":429,"input_tokens":2147483647,"output_tokens":0,)"
      R"("reasoning_tokens":3,"cached_tokens":4,"temperature":0.7,"top_p":0.1,"max_tokens":6,"tools":["x","y,z"],)"
      R"("stream":false,"client_ip":"192.0.2.1","user_agent":"u","ja4":"j","latency_ms":7,)"
      R"("reasoning_signatures_issued":["i"],"reasoning_signatures_presented":["p","q"]})");
  for (const char* t : {"0.1", "0.3333333", "1e-7", "1.9999999", "123456.78", "0"}) {
    RoundTrip(
        std::string(
            R"({"exchange_id":"e","ts":"2026-01-02T03:04:05Z","account_id":"a","temperature":)") +
        t + "}");
  }
}

TEST(Canonical, ASketchStandsInPlaceOfText) {
  sketch::Sketcher sketcher;
  model::Sketch made;
  sketcher.Sketch("You grade answers.", "Grade this answer from one to ten and say why it is so.",
                  "Seven.", {}, 2, &made);
  model::ExchangeView e;
  e.exchange_id = "e";
  e.account_id = "a";
  e.ts_ms = kNow;
  e.turn = "secret words";
  e.response = "secret answer";
  std::string line;
  AppendCanonical(e, &made, &line);
  EXPECT_EQ(line.find("secret"), std::string::npos) << line;
  EXPECT_NE(line.find("\"sketch\""), std::string::npos) << line;
  RoundTrip(line);
}

}  // namespace
}  // namespace stillwatch::ingest
