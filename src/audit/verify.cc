#include "audit/verify.h"

#include <sodium.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "audit/segments.h"
#include "base/hex.h"
#include "base/str.h"
#include "base/time.h"

namespace stillwatch::audit {
namespace {

using base::StrCat;

constexpr size_t kHex = 64;
constexpr std::string_view kPrevKey = R"(,"prev":")", kHashKey = R"(","hash":")";
// `,"prev":"` 64 `","hash":"` 64 `"}`
constexpr size_t kSuffix = kPrevKey.size() + kHex + kHashKey.size() + kHex + 2;
constexpr size_t kChunk = 1 << 20;

bool Eat(std::string_view* s, std::string_view what) {
  if (!s->starts_with(what)) return false;
  s->remove_prefix(what.size());
  return true;
}

// The inside of a JSON string up to its closing quote, which is eaten.
bool EatString(std::string_view* s, std::string_view* out) {
  for (size_t i = 0; i < s->size(); ++i) {
    const unsigned char c = static_cast<unsigned char>((*s)[i]);
    if (c < 0x20) return false;
    if (c == '\\') {
      ++i;
    } else if (c == '"') {
      *out = s->substr(0, i);
      s->remove_prefix(i + 1);
      return true;
    }
  }
  return false;
}

bool IsHash(std::string_view s) {
  return s.size() == kHex && std::all_of(s.begin(), s.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

class Hasher {
 public:
  Hasher() { crypto_generichash_init(&state_, nullptr, 0, 32); }
  void Add(std::string_view bytes) {
    crypto_generichash_update(&state_, reinterpret_cast<const unsigned char*>(bytes.data()),
                              bytes.size());
  }
  std::string Finish() {
    unsigned char out[32];
    crypto_generichash_final(&state_, out, sizeof out);
    return base::Hex({reinterpret_cast<char*>(out), sizeof out});
  }

 private:
  crypto_generichash_state state_;
};

// Walks the log record by record. One change gives one finding: after a breach it goes on from what
// the record itself claims.
class Walk {
 public:
  explicit Walk(const VerifyOptions& options)
      : options_(options), anchor_seen_(options.anchors.size()) {}

  void BeginSegment(std::string_view name, uint64_t number) {
    segment_ = name;
    line_ = offset_ = 0;
    first_in_segment_ = true;
    if (report_.segments++ > 0 && number != number_ + 1) {
      Find(0, 0, expected_seq_,
           number == number_ + 2 ? StrCat("segment ", SegmentName(number_ + 1), " is missing")
                                 : StrCat("segments ", SegmentName(number_ + 1), " to ",
                                          SegmentName(number - 1), " are missing"));
      gap_told_ = true;
    }
    number_ = number;
  }

  // `line` without its end; `whole` when it had one.
  void Line(std::string_view line, bool whole) {
    ++line_;
    const uint64_t at = offset_;
    offset_ += line.size() + (whole ? 1 : 0);
    RecordView r;
    if (line.size() > kLineBytes) {
      Bad(at, line, whole, "longer than any record");
    } else if (!whole) {
      Bad(at, line, whole, "an unfinished record");
    } else if (!ParseRecord(line, &r)) {
      Bad(at, line, whole, "not a record of this log");
    } else if (HashHex(r.body) != r.hash) {
      Bad(at, line, whole,
          StrCat("record ", r.seq, " was changed: its hash is not that of its content"));
    } else {
      Settle(r);  // what was bad before it is no torn tail
      Good(r, at);
    }
  }

  // The rest of a line that was too long.
  void More(std::string_view bytes) {
    offset_ += bytes.size();
    bad_hash_->Add(bytes);
  }

  void EndSegment() {
    if (!bad_.empty() && torn_ == nullptr)
      torn_ = std::make_unique<Torn>(
          Torn{segment_, bad_.front().offset, offset_ - bad_.front().offset, bad_hash_->Finish()});
  }

  AuditReport Finish() {
    Settle({});
    if (report_.segments == 0) Find(0, 0, 0, "no segment of an audit log is here");
    for (size_t i = 0; i < options_.anchors.size(); ++i) {
      if (anchor_seen_[i]) continue;
      const uint64_t seq = options_.anchors[i].seq;
      Find(0, 0, seq,
           seq > report_.head.seq
               ? StrCat("the log ends at record ", report_.head.seq,
                        "; the head that was kept says that there was a record ", seq)
               : StrCat("record ", seq, ", of which a head was kept, is not there"));
    }
    // The newest records may wait for their signature; a log without any of this key's is not its.
    const uint64_t through = report_.signed_through;
    if (!options_.public_key.empty() && report_.records > 0 &&
        (through == 0 || report_.head.seq > through + kSignEvery + 1)) {
      Find(0, 0, through + 1,
           StrCat("the records after ", through, " to ", report_.head.seq,
                  " carry no signature of the given key"));
    }
    return std::move(report_);
  }

 private:
  struct Torn {
    std::string segment;
    uint64_t offset, bytes;
    std::string hash;
  };

  void Find(uint64_t line, uint64_t offset, uint64_t seq, std::string what) {
    Keep({segment_, line, offset, seq, std::move(what)});
  }
  void Keep(AuditFinding f) {
    ++report_.findings_total;
    if (report_.findings.size() < kFindingsMax) report_.findings.push_back(std::move(f));
  }

  void Bad(uint64_t at, std::string_view line, bool whole, std::string what) {
    if (torn_ != nullptr) Settle({});
    if (bad_.empty()) bad_hash_ = std::make_unique<Hasher>();
    bad_hash_->Add(line);
    if (whole) bad_hash_->Add("\n");
    AuditFinding f{segment_, line_, at, expected_seq_, std::move(what)};
    ++bad_total_;
    if (bad_.size() < kFindingsMax) bad_.push_back(std::move(f));
    first_in_segment_ = false;
  }

  // Decides about bad lines at the end of a segment: a crash that the next start recorded, or a
  // breach.
  void Settle(const RecordView& next) {
    if (bad_.empty()) return;
    if (torn_ != nullptr && first_in_segment_ && next.action == kActionRecovered &&
        next.details ==
            RecoveredDetails(torn_->segment, torn_->offset, torn_->bytes, torn_->hash)) {
      report_.notes.push_back(StrCat(torn_->segment, ": ", torn_->bytes, " bytes from ",
                                     torn_->offset, " on were left unfinished by a crash; record ",
                                     next.seq, " says so"));
    } else {
      report_.findings_total += bad_total_ - bad_.size();
      for (auto& f : bad_) Keep(std::move(f));
      told_ = bad_total_;
    }
    bad_.clear();
    bad_total_ = 0;
    torn_.reset();
  }

  void Good(const RecordView& r, uint64_t at) {
    const auto find = [&](std::string what) { Find(line_, at, r.seq, std::move(what)); };
    if (report_.records == 0 && expected_seq_ == 1 && r.seq != 1) {
      // Older segments may have been put away; a head that was kept then vouches for them.
      const bool vouched =
          std::any_of(options_.anchors.begin(), options_.anchors.end(),
                      [&](auto& a) { return a.seq + 1 == r.seq && a.hash == r.prev; });
      if (vouched) {
        for (size_t i = 0; i < options_.anchors.size(); ++i)
          if (options_.anchors[i].seq + 1 == r.seq) anchor_seen_[i] = true;
        report_.notes.push_back(StrCat("the log begins at record ", r.seq,
                                       "; the kept head of record ", r.seq - 1,
                                       " vouches for what was before"));
      } else {
        find(StrCat("the log begins at record ", r.seq, ": what was before it is missing"));
      }
    } else if (r.prev != expected_prev_ || r.seq != expected_seq_) {
      if (told_ > 0 && r.seq == expected_seq_ + told_) {
        // The bad lines before it stood in those places; the findings are there already.
      } else if (gap_told_ && r.seq > expected_seq_) {
        // Follows from the missing segment.
      } else if (r.seq > expected_seq_) {
        find(r.seq == expected_seq_ + 1
                 ? StrCat("record ", expected_seq_, " is missing before it")
                 : StrCat("records ", expected_seq_, " to ", r.seq - 1, " are missing before it"));
      } else if (r.seq < expected_seq_) {
        find(StrCat("record ", r.seq, " stands where record ", expected_seq_,
                    " belongs: reordered, repeated or inserted"));
      } else {
        find(StrCat("record ", r.seq,
                    " does not follow from the one before it: inserted or replaced"));
      }
    }
    told_ = 0;
    gap_told_ = false;
    for (size_t i = 0; i < options_.anchors.size(); ++i) {
      if (options_.anchors[i].seq != r.seq) continue;
      if (options_.anchors[i].hash != r.hash && !anchor_seen_[i])
        find(StrCat("record ", r.seq, " is another than the one whose head was kept"));
      anchor_seen_[i] = true;
    }
    if (r.action == kActionSigned) Signature(r, at);
    if (!base::ParseRfc3339(r.time)) find(StrCat("record ", r.seq, " has no time"));
    if (report_.records++ == 0) report_.first = {r.seq, std::string(r.hash)};
    report_.head = {r.seq, std::string(r.hash)};
    expected_seq_ = r.seq + 1;
    expected_prev_ = r.hash;
    first_in_segment_ = false;
  }

  void Signature(const RecordView& r, uint64_t at) {
    // {"key":"<64>","signature":"<128>"}
    std::string key, signature;
    const bool shaped = r.details.size() == 8 + 64 + 15 + 128 + 2 &&
                        FromHex(r.details.substr(8, 64), &key) &&
                        FromHex(r.details.substr(8 + 64 + 15, 128), &signature) &&
                        SignatureDetails(key, signature) == r.details;
    const std::string text = SignedText({r.seq - 1, std::string(r.prev)});
    if (!shaped || crypto_sign_verify_detached(
                       reinterpret_cast<const unsigned char*>(signature.data()),
                       reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                       reinterpret_cast<const unsigned char*>(key.data())) != 0) {
      Find(line_, at, r.seq, StrCat("the signature in record ", r.seq, " is not valid"));
      return;
    }
    if (!options_.public_key.empty() && key != options_.public_key) return;
    report_.signed_through = r.seq - 1;
    report_.signed_by = base::Hex(key);
  }

  const VerifyOptions& options_;
  AuditReport report_;
  std::vector<char> anchor_seen_;
  std::string segment_, expected_prev_{kZeroHash};
  uint64_t number_ = 0, line_ = 0, offset_ = 0, expected_seq_ = 1, bad_total_ = 0, told_ = 0;
  bool first_in_segment_ = true, gap_told_ = false;
  std::vector<AuditFinding> bad_;  // since the last good record
  std::unique_ptr<Hasher> bad_hash_;
  std::unique_ptr<Torn> torn_;  // set once the segment with the bad lines has ended
};

// Feeds lines out of pieces of any size.
class Lines {
 public:
  explicit Lines(Walk* walk) : walk_(walk) {}
  void Add(std::string_view piece) {
    while (!piece.empty()) {
      const size_t eol = piece.find('\n');
      if (long_) {
        const size_t n = eol == std::string_view::npos ? piece.size() : eol + 1;
        walk_->More(piece.substr(0, n));
        piece.remove_prefix(n);
        long_ = eol == std::string_view::npos;
        continue;
      }
      if (eol == std::string_view::npos) {
        carry_ += piece;
        if (carry_.size() > kLineBytes) {
          walk_->Line(carry_, false);
          carry_.clear();
          long_ = true;
        }
        return;
      }
      if (carry_.empty()) {
        walk_->Line(piece.substr(0, eol), true);
      } else {
        carry_ += piece.substr(0, eol);
        walk_->Line(carry_, true);
        carry_.clear();
      }
      piece.remove_prefix(eol + 1);
    }
  }
  void End() {
    if (!carry_.empty()) walk_->Line(carry_, false);
  }

 private:
  Walk* walk_;
  std::string carry_;
  bool long_ = false;
};

}  // namespace

bool ParseRecord(std::string_view line, RecordView* out) {
  if (line.size() < kSuffix || line.size() > kLineBytes) return false;
  const std::string_view suffix = line.substr(line.size() - kSuffix);
  out->prev = suffix.substr(kPrevKey.size(), kHex);
  out->hash = suffix.substr(kPrevKey.size() + kHex + kHashKey.size(), kHex);
  if (!suffix.starts_with(kPrevKey) ||
      suffix.substr(kPrevKey.size() + kHex, kHashKey.size()) != kHashKey ||
      !suffix.ends_with("\"}") || !IsHash(out->prev) || !IsHash(out->hash)) {
    return false;
  }
  out->body =
      line.substr(0, line.size() - kHex - kHashKey.size() - 2 + 1);  // with prev's last quote
  std::string_view s = line.substr(0, line.size() - kSuffix);
  if (!Eat(&s, R"({"seq":)")) return false;
  const auto [at, error] = std::from_chars(s.data(), s.data() + s.size(), out->seq);
  if (error != std::errc() || out->seq == 0 || s[0] == '0') return false;
  s.remove_prefix(static_cast<size_t>(at - s.data()));
  if (!Eat(&s, R"(,"time":")") || !EatString(&s, &out->time) || !Eat(&s, R"(,"actor":")") ||
      !EatString(&s, &out->actor) || !Eat(&s, R"(,"action":")") || !EatString(&s, &out->action) ||
      !Eat(&s, R"(,"subject":")") || !EatString(&s, &out->subject) || !Eat(&s, R"(,"details":)")) {
    return false;
  }
  out->details = s;
  return s.size() >= 2 && s.front() == '{' && s.back() == '}';
}

std::string HashHex(std::string_view bytes) {
  Hasher h;
  h.Add(bytes);
  return h.Finish();
}

std::string SignedText(const AuditHead& head) {
  return StrCat("stillwatch.audit/1 ", head.seq, " ", head.hash);
}

absl::StatusOr<AuditHead> ParseAnchor(std::string_view text) {
  AuditHead head;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), head.seq);
  const size_t digits = static_cast<size_t>(at - text.data());
  if (error != std::errc() || head.seq == 0 || digits >= text.size() || text[digits] != ':' ||
      !IsHash(text.substr(digits + 1))) {
    return absl::InvalidArgumentError(StrCat(
        "anchor '", text, "': expected NUMBER:HASH, as `stillwatch audit verify` printed it"));
  }
  head.hash = text.substr(digits + 1);
  return head;
}

AuditReport VerifySegments(const std::vector<SegmentBytes>& segments,
                           const VerifyOptions& options) {
  if (sodium_init() < 0) return {};
  Walk walk(options);
  for (const SegmentBytes& s : segments) {
    uint64_t number = 0;
    if (s.name.size() > 6)
      std::from_chars(s.name.data() + 6, s.name.data() + s.name.size(), number);
    walk.BeginSegment(s.name, number);
    Lines lines(&walk);
    lines.Add(s.bytes);
    lines.End();
    walk.EndSegment();
  }
  return walk.Finish();
}

absl::StatusOr<AuditReport> VerifyAudit(const std::string& dir, const VerifyOptions& options) {
  if (sodium_init() < 0) return absl::InternalError("libsodium cannot be initialised");
  auto segments = ListSegments(dir);
  if (!segments.ok()) return segments.status();
  Walk walk(options);
  for (const SegmentFile& f : *segments) {
    const bool last = f.name == options.last_segment;
    walk.BeginSegment(f.name, f.number);
    Lines lines(&walk);
    for (uint64_t offset = 0;;) {
      uint64_t want = kChunk;
      if (last) want = std::min<uint64_t>(want, options.last_bytes - offset);
      if (want == 0) break;
      auto piece = ReadRange(f.path, offset, want);
      if (!piece.ok()) return piece.status();
      if (piece->empty()) break;
      lines.Add(*piece);
      offset += piece->size();
    }
    lines.End();
    walk.EndSegment();
    if (last) break;
  }
  return walk.Finish();
}

}  // namespace stillwatch::audit
