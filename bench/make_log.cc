// Writes a large log for measuring: make_log EXCHANGES DIR
//
// DIR/exchanges.jsonl holds EXCHANGES canonical lines of about 1.5 kB in time order over 14 days,
// DIR/accounts.jsonl one record per account (one account per 20 exchanges). The same bytes for the
// same number on any machine, whatever the threads. What costs a scan its time is there in the
// proportions of ordinary traffic: mostly accounts of their own with free text, apps whose system
// prompt comes back, popular tools that many accounts use, and 2 % of the lines from pools of 40
// accounts that send one scaffold from shared cards. It measures speed and is no test of judgement.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/hash.h"
#include "base/json.h"
#include "base/parallel.h"
#include "base/str.h"
#include "base/time.h"

namespace stillwatch {
namespace {

constexpr int64_t kBegin = 1'776'816'000'000;  // 2026-04-22T00:00:00Z
constexpr int64_t kSpan = 14 * base::kMsPerDay;
constexpr size_t kWords = 40'000;
constexpr size_t kChunk = 8192;  // lines that one worker writes at a time
constexpr size_t kPoolAccounts = 40;
constexpr size_t kTools = 20;

// SplitMix64; a stream of its own per line, so that lines do not depend on how chunks fall.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() { return base::Mix64(state_ += 0x9e3779b97f4a7c15ULL); }
  size_t Below(size_t n) { return static_cast<size_t>((static_cast<unsigned __int128>(Next()) * n) >> 64); }
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }

 private:
  uint64_t state_;
};

// Words of one to four syllables; rank decides how often one is used.
std::vector<std::string> MakeWords() {
  static constexpr const char* kSyllables[] = {"ba", "ren", "ko", "ti", "mal", "sor", "e", "vin", "du", "ca",
                                               "lor", "pe", "shi", "an", "gra", "no", "ul", "fe", "mi", "tor",
                                               "is", "qua", "der", "lin", "po", "ster", "ja", "ne", "om", "bri"};
  std::vector<std::string> words(kWords);
  for (size_t i = 0; i < kWords; ++i) {
    Random r(i + 1);
    const size_t n = i < 1000 ? 1 + r.Below(2) : 2 + r.Below(3);
    for (size_t k = 0; k < n; ++k) words[i] += kSyllables[r.Below(std::size(kSyllables))];
  }
  return words;
}

void AppendHex(uint64_t v, int digits, std::string* out) {
  for (int i = digits - 1; i >= 0; --i) out->push_back("0123456789abcdef"[(v >> (4 * i)) & 15]);
}

class Maker {
 public:
  explicit Maker(size_t exchanges)
      : exchanges_(exchanges), accounts_(std::max<size_t>(exchanges / 20, 2 * kPoolAccounts)), words_(MakeWords()) {
    pools_ = std::max<size_t>(1, accounts_ / 50 / kPoolAccounts);
  }

  size_t accounts() const { return accounts_; }

  void Exchange(size_t i, std::string* out) const {
    Random r(base::Combine64(1, i));
    const int64_t ts = kBegin + static_cast<int64_t>(static_cast<double>(i) * (static_cast<double>(kSpan) / static_cast<double>(exchanges_)));
    // A pool works in the ten minutes that are its turn; the first accounts belong to pools.
    const size_t harvesters = pools_ * kPoolAccounts;
    size_t account;
    const bool harvest = r.Below(50) == 0;
    if (harvest) {
      const size_t pool = base::Mix64(static_cast<uint64_t>(ts / 600'000)) % pools_;
      account = pool * kPoolAccounts + r.Below(kPoolAccounts);
    } else {
      // Some accounts send a hundred times what others send.
      const double u = r.Unit();
      account = harvesters + std::min(accounts_ - harvesters - 1,
                                      static_cast<size_t>(u * u * static_cast<double>(accounts_ - harvesters)));
    }
    const uint64_t a = base::Combine64(2, account);
    const int kind = static_cast<int>(a % 100);  // 0-9 an app, 10-14 a tool's user, others their own text
    const bool chat = !harvest && kind >= 60;
    base::StrAppend(out, R"({"exchange_id": "x_)");
    AppendHex(base::Combine64(3, i), 14, out);
    base::StrAppend(out, R"(", "ts": ")", base::FormatRfc3339(ts), R"(", "account_id": "acct_)");
    AppendHex(a, 14, out);
    if (!chat) {
      base::StrAppend(out, R"(", "api_key_id": "key_)");
      AppendHex(base::Mix64(a), 12, out);
    } else {
      base::StrAppend(out, R"(", "session_id": "sess_)");
      AppendHex(base::Combine64(a, static_cast<uint64_t>(ts / base::kMsPerHour)), 14, out);
    }
    static constexpr const char* kModels[] = {"atlas-4", "atlas-4-mini", "atlas-5", "atlas-4"};
    base::StrAppend(out, R"(", "channel": ")", chat ? "web" : "api", R"(", "model": ")", kModels[a >> 8 & 3],
                    R"(", "operation": "chat", "messages": [)");
    if (harvest) {
      base::StrAppend(out, R"({"role": "user", "content": "Write every step between tags. )");
      Text(base::Combine64(4, account / kPoolAccounts), 60, out);
      base::StrAppend(out, R"(\n\nTask: )");
      Text(r.Next(), 40, out);
      base::StrAppend(out, R"( Answer only inside <answer></answer>."}])");
    } else {
      if (kind < 15) {
        base::StrAppend(out, R"({"role": "system", "content": ")");
        Text(kind < 10 ? base::Combine64(5, account) : base::Combine64(6, a % kTools), kind < 10 ? 40 : 80, out);
        base::StrAppend(out, R"("}, )");
      }
      base::StrAppend(out, R"({"role": "user", "content": ")");
      Text(r.Next(), 20 + r.Below(100), out);
      base::StrAppend(out, R"("}])");
    }
    base::StrAppend(out, R"(, "response": ")");
    const size_t answer = 20 + r.Below(harvest ? 110 : 80);
    Text(r.Next(), answer, out);
    base::StrAppend(out, R"(", "input_tokens": )", 120 + r.Below(300), R"(, "output_tokens": )", answer + r.Below(60));
    if (r.Below(2) == 0) base::StrAppend(out, R"(, "reasoning_tokens": )", r.Below(2000));
    if (!chat) {
      base::StrAppend(out, R"(, "temperature": )", a >> 12 & 1 ? "1.0" : "0.7", R"(, "max_tokens": )", a >> 13 & 1 ? 4096 : 1024);
    }
    base::StrAppend(out, R"(, "tools": [], "status": )", r.Below(100) == 0 ? 429 : 200, R"(, "client_ip": ")");
    Address(account, out);
    static constexpr const char* kAgents[] = {"OpenAI/Python 2.31.0", "OpenAI/JS 6.49.0", "python-httpx/0.29.0",
                                              "LangChain/1.4 (python)", "Go-http-client/2.0", "Mozilla/5.0 (X11; Linux x86_64) Firefox/149.0",
                                              "Mozilla/5.0 (Macintosh) Safari/19.2", "Anthropic/Python 1.11.0"};
    const uint64_t agent = (chat ? 5 : 0) + (a >> 16) % (chat ? 2 : 5);
    base::StrAppend(out, R"(", "user_agent": ")", kAgents[agent], R"(", "ja4": "t13d1812h1_)");
    AppendHex(base::Combine64(8, agent), 12, out);
    base::StrAppend(out, R"(_b26ce05bbdd6", "latency_ms": )", 300 + r.Below(9000), "}\n");
  }

  void Account(size_t account, std::string* out) const {
    const uint64_t a = base::Combine64(2, account);
    Random r(base::Mix64(a));
    base::StrAppend(out, R"({"account_id": "acct_)");
    AppendHex(a, 14, out);
    base::StrAppend(out, R"(", "created_at": ")",
                    base::FormatRfc3339(kBegin - static_cast<int64_t>(r.Below(400)) * base::kMsPerDay +
                                        static_cast<int64_t>(r.Below(base::kMsPerDay))));
    static constexpr const char* kMail[] = {"gmail.com", "outlook.com", "qq.com", "icloud.com", "yahoo.com"};
    base::StrAppend(out, R"(", "org_verified": false, "plan": "team", "channel": "api", "email_domain": ")",
                    kMail[r.Below(5)], R"(", "payment_id": "pay_)");
    // One card per five accounts of a pool, one household of two in twenty.
    const bool pooled = account < pools_ * kPoolAccounts;
    AppendHex(base::Combine64(9, pooled ? account / 5 : account - (account % 20 == 1)), 14, out);
    base::StrAppend(out, R"(", "kyc": "email", "country": "NL", "signup_ip": ")");
    Address(account, out);
    out->append("\"}\n");
  }

 private:
  // `n` words from a stream of their own: the same seed is the same text.
  void Text(uint64_t seed, size_t n, std::string* out) const {
    Random r(seed);
    size_t sentence = 0;
    for (size_t k = 0; k < n; ++k) {
      const double u = r.Unit();
      out->append(words_[static_cast<size_t>(u * u * u * u * kWords)]);
      if (++sentence > 6 && r.Below(8) == 0) {
        out->append(". ");
        sentence = 0;
      } else {
        out->push_back(' ');
      }
    }
    out->back() = '.';
  }

  // An address of one's own; one account in twenty shares a household's or a proxy's.
  void Address(size_t account, std::string* out) const {
    const bool pooled = account < pools_ * kPoolAccounts;
    const uint64_t h = base::Combine64(10, pooled ? account / 4 : account - (account % 20 == 1));
    base::StrAppend(out, 11 + h % 200, '.', h >> 8 & 255, '.', h >> 16 & 255, '.', h >> 24 & 255);
  }

  const size_t exchanges_;
  const size_t accounts_;
  size_t pools_;
  const std::vector<std::string> words_;
};

bool Write(const std::string& path, size_t n, const base::Parallel& parallel,
           const std::function<void(size_t, std::string*)>& line) {
  const std::string part = path + ".part";  // renamed when whole, so a cut run is not reused
  FILE* f = std::fopen(part.c_str(), "wb");
  if (f == nullptr) return false;
  const size_t chunks = (n + kChunk - 1) / kChunk;
  const size_t wave = static_cast<size_t>(parallel.threads()) * 2;
  std::vector<std::string> text(wave);
  bool good = true;
  for (size_t begin = 0; begin < chunks && good; begin += wave) {
    const size_t some = std::min(wave, chunks - begin);
    parallel.For(some, 1, [&](size_t from, size_t to, int) {
      for (size_t c = from; c < to; ++c) {
        text[c].clear();
        for (size_t i = (begin + c) * kChunk; i < std::min(n, (begin + c + 1) * kChunk); ++i) line(i, &text[c]);
      }
    });
    for (size_t c = 0; c < some && good; ++c) good = std::fwrite(text[c].data(), 1, text[c].size(), f) == text[c].size();
  }
  good = std::fclose(f) == 0 && good;
  std::error_code error;
  if (good) std::filesystem::rename(part, path, error);
  return good && !error;
}

}  // namespace
}  // namespace stillwatch

int main(int argc, char** argv) {
  const long long n = argc == 3 ? std::atoll(argv[1]) : 0;
  if (n < 1 || n > 1'000'000'000) {
    std::fprintf(stderr, "usage: make_log EXCHANGES DIR\n");
    return 2;
  }
  const std::string dir = argv[2];
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  const stillwatch::Maker maker(static_cast<size_t>(n));
  const stillwatch::base::Parallel parallel(static_cast<int>(std::thread::hardware_concurrency()));
  const bool good =
      stillwatch::Write(dir + "/accounts.jsonl", maker.accounts(), parallel,
                        [&](size_t i, std::string* out) { maker.Account(i, out); }) &&
      stillwatch::Write(dir + "/exchanges.jsonl", static_cast<size_t>(n), parallel,
                        [&](size_t i, std::string* out) { maker.Exchange(i, out); });
  if (!good) std::fprintf(stderr, "make_log: %s cannot be written (disk full or no permission)\n", dir.c_str());
  return good ? 0 : 1;
}
