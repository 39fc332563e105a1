// What may be shared of a campaign, and what an import becomes.
//
// An Item is one value of a closed list of types, in a closed grammar: there is no type for text
// that somebody wrote, a price, a limit, a customer's volume or a person, and this module may
// include nothing that holds one (tools/layers.txt: `share` sees `base` alone). What the gate lets
// through (gate.h) is made of Items; what is read from outside is made of Items too.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace stillwatch::share {

enum class ItemType : uint8_t {
  kTemplateSketch,   // "2:" and the scaffold's shingle hashes, ascending, 8 hex digits each
  kSettings,         // "temperature=0.7;top_p=1;max_tokens=4096;stream=0", those that are known
  kNetwork,          // number of an autonomous system, decimal
  kTlsFingerprint,   // JA4
  kClient,           // product and version of a user agent: "openai-python/1.40"
  kSignature,        // hash of a reasoning signature, 16 hex digits
  kAddress,          // IPv4 or IPv6, canonical
  kPayment,          // hash of a means of payment, as the provider's log has it
  kMailDomain,       // lower case
  kReferrer,         // lower case
  kAccountId,        // as the provider's log has it
  kAccount,          // running number within the campaign, decimal: a pseudonym that says nothing
  kCapability,       // label of the contract: "agentic_reasoning"
  kCampaignFigures,  // CampaignFacts below; no value of its own
  kAttribution,      // name of an actor; only where the findings state one
  kRhythm,           // "1:20565:" and a digit of each half hour of whole days since 1970-01-01 UTC,
                     // 0 to e, 7: as full as the campaign's habits, per half a standard deviation
};
inline constexpr int kItemTypes = 16;
const char* ItemTypeName(ItemType t);  // "template-sketch", as in STIX and in the configuration
std::optional<ItemType> ItemTypeNamed(std::string_view name);

inline constexpr int kSketchFormat = 2;        // model::kSketchVersion when this was written
inline constexpr size_t kSketchHashes = 512;   // of one template sketch
inline constexpr size_t kItemBytes = 8 << 10;  // of any value
inline constexpr size_t kRhythmDays = 60, kHalfHours = 48;  // of a rhythm, of a day
inline constexpr size_t kBlindingKeyBytes = 32;

// The key of a group of peers: values that can be guessed leave only under it. Whoever holds it can
// test guesses, so it is for peers that may know the value once they guess it (docs/SHARING.md).
class BlindingKey {
 public:
  // 64 hex digits, as `stillwatch share key` writes them.
  static std::optional<BlindingKey> FromHex(std::string_view hex);
  static BlindingKey Random();
  std::string ToHex() const;
  // Names the key without telling it: 16 hex digits.
  const std::string& id() const { return id_; }

 private:
  friend class Item;
  BlindingKey() = default;
  std::string bytes_, id_;
};

// Immutable; cheap to copy for all but sketches.
class Item {
 public:
  // The only ways in. Nothing when the value is not of its type's grammar, or is too long.
  static std::optional<Item> Parse(ItemType type, std::string_view value);
  static std::optional<Item> Blinded(ItemType type, std::string_view key_id, std::string_view hash);

  ItemType type() const { return type_; }
  // In canonical form: the same thing is the same bytes. Of a blinded item "KEYID:HASH".
  const std::string& value() const { return value_; }
  bool blinded() const { return blinded_; }
  // HMAC-SHA-256 (RFC 2104, libsodium) of type and value.
  Item Blind(const BlindingKey& key) const;
  // Hashes of a template sketch; empty for any other type.
  std::vector<uint32_t> Hashes() const;
  // -7 to 7 of each half hour of a rhythm, and the first of them since 1970; empty for others.
  std::vector<int8_t> HalfHours(int32_t* first) const;

  bool operator==(const Item&) const = default;
  auto operator<=>(const Item&) const = default;

 private:
  Item(ItemType type, std::string value, bool blinded)
      : type_(type), blinded_(blinded), value_(std::move(value)) {}
  ItemType type_;
  bool blinded_;
  std::string value_;
};

// A sketch's value from its hashes, in any order, repeated or not. Nothing when there are none or
// more than kSketchHashes.
std::optional<Item> TemplateSketch(std::vector<uint32_t> hashes);

// A rhythm from how many accounts of a campaign were present in each half hour of whole days from
// `first_day` since 1970: how far each is from what the day and the time of day explain. Nothing
// when they are not whole days or more than kRhythmDays.
std::optional<Item> RhythmOf(int32_t first_day, std::span<const uint32_t> present);

// A value that stands for a campaign elsewhere. Times in milliseconds since 1970.
struct Indicator {
  Item item;
  std::string id{};          // STIX id of the indicator: "indicator--..."
  std::string campaign{};    // STIX id of the campaign it indicates; may be empty
  std::string created_by{};  // STIX id of who says so: "identity--..."
  std::string origin{};      // name of who says so, or of the peer it came from; set by imports
  std::string tlp{};         // "clear", "green", "amber", "amber+strict", "red"; empty: unmarked
  char reliability = 'F';    // of the source, Admiralty A to F (F: cannot be judged)
  int credibility = 6;       // of the information, Admiralty 1 to 6 (6: cannot be judged)
  int confidence = -1;       // 0 to 100 on the STIX bands; -1: not stated
  int64_t created_ms = 0, modified_ms = 0;
  int64_t valid_from_ms = 0;
  int64_t valid_until_ms = INT64_MAX;  // INT64_MAX: not stated
  bool revoked = false;
};

// An indicator of somebody's was seen in somebody's own traffic. Times in milliseconds since 1970.
struct Sighting {
  std::string of{};                      // STIX id of what was seen: "indicator--..."
  uint64_t accounts = 0, exchanges = 0;  // of one that was read: exchanges alone, 0 when not stated
  int64_t first_seen_ms = 0, last_seen_ms = 0;
  // Of one that was read.
  std::string id{}, created_by{}, origin{};  // as of an Indicator
  int64_t modified_ms = 0;
  bool revoked = false;
};

// Figures of a campaign, rounded: there is no figure of a customer here.
struct CampaignFacts {
  std::string key;  // 16 hex digits: the campaign's id here, which says nothing elsewhere
  uint64_t accounts = 0, exchanges = 0;  // to two significant digits once the gate let them out
  int64_t first_seen_ms = 0, last_seen_ms = 0;  // whole days once the gate let them out
  double probability = 0;                       // that it is a distillation, by one's own log alone
  bool suspected = false;                       // not accused by that: a suspicion
  std::vector<std::pair<std::string, double>> capabilities;  // label and share, descending
  std::vector<std::string> families;  // of evidence that support it: "network", "rhythm", ...
};

}  // namespace stillwatch::share
