#include "enrich/mmdb.h"

#include <maxminddb.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "base/str.h"

namespace stillwatch::enrich {
namespace {

using base::StrCat;

// What a record says, by the names of the GeoIP2 and GeoLite2 schemas.
bool Flag(MMDB_entry_s* entry, const char* name) {
  MMDB_entry_data_s data;
  const char* path[] = {name, nullptr};
  return MMDB_aget_value(entry, &data, path) == MMDB_SUCCESS && data.has_data &&
         data.type == MMDB_DATA_TYPE_BOOLEAN && data.boolean;
}

std::string Text(MMDB_entry_s* entry, std::vector<const char*> path) {
  path.push_back(nullptr);
  MMDB_entry_data_s data;
  if (MMDB_aget_value(entry, &data, path.data()) != MMDB_SUCCESS || !data.has_data ||
      data.type != MMDB_DATA_TYPE_UTF8_STRING) {
    return "";
  }
  return std::string(data.utf8_string, data.data_size);
}

uint32_t Number(MMDB_entry_s* entry, std::vector<const char*> path) {
  path.push_back(nullptr);
  MMDB_entry_data_s data;
  if (MMDB_aget_value(entry, &data, path.data()) != MMDB_SUCCESS || !data.has_data) return 0;
  return data.type == MMDB_DATA_TYPE_UINT32   ? data.uint32
         : data.type == MMDB_DATA_TYPE_UINT16 ? data.uint16
                                              : 0;
}

constexpr const char* kOrder[] = {"tor",     "relay",  "residential_proxy", "public_proxy", "vpn",
                                  "hosting", "mobile", "business",          "residential"};

int Rank(std::string_view address_class) {
  for (int i = 0; i < static_cast<int>(std::size(kOrder)); ++i) {
    if (address_class == kOrder[i]) return i;
  }
  return static_cast<int>(std::size(kOrder));
}

std::string FromUserType(std::string_view type) {
  if (type == "cellular") return "mobile";
  if (type == "hosting" || type == "content_delivery_network" || type == "search_engine_spider")
    return "hosting";
  if (type == "residential" || type == "traveler" || type == "dialup") return "residential";
  if (type == "consumer_privacy_network") return "relay";
  return type.empty() ? "" : "business";  // business, government, military, school, ...
}

// libmaxminddb (1.7) takes the size of the search tree in 32 bits, and with a large node count
// reads past the file. A node has six bytes at least, which bounds their number.
absl::Status CheckNodeCount(const std::string& path) {
  static constexpr std::string_view kMarker = "\xAB\xCD\xEFMaxMind.com", kKey = "\x4Anode_count";
  static constexpr std::streamoff kMetadataMax = 128
                                                 << 10;  // from the end; what the library looks at
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  const std::streamoff size = in.tellg();
  if (!in || size < 0) return absl::OkStatus();  // opening it says why
  std::string tail(static_cast<size_t>(std::min(size, kMetadataMax)), '\0');
  in.seekg(-static_cast<std::streamoff>(tail.size()), std::ios::end);
  in.read(tail.data(), static_cast<std::streamsize>(tail.size()));
  std::string_view rest(tail);
  rest.remove_prefix(std::min(rest.rfind(kMarker), rest.size()));
  for (size_t at; (at = rest.find(kKey)) != std::string_view::npos;) {
    rest.remove_prefix(at + kKey.size());
    uint64_t nodes = rest.empty() ? UINT64_MAX : 0;
    // An unsigned 32-bit number: type 6 and its length in one byte, then big-endian bytes.
    const size_t length = rest.empty() ? 0 : static_cast<uint8_t>(rest[0]) & 31;
    if (rest.size() <= length || static_cast<uint8_t>(rest[0]) >> 5 != 6 || length > 4)
      nodes = UINT64_MAX;
    for (size_t i = 1; nodes != UINT64_MAX && i <= length; ++i)
      nodes = nodes << 8 | static_cast<uint8_t>(rest[i]);
    if (nodes > static_cast<uint64_t>(size) / 6) {
      return absl::InvalidArgumentError(StrCat(
          path, ": broken database (its search tree is larger than the file); get it again"));
    }
  }
  return absl::OkStatus();
}

// Walks the whole tree and decodes every record it points to, once: many nodes share one.
absl::Status Check(MMDB_s* db, const std::string& path) {
  const auto broken = [&](std::string_view what) {
    return absl::InvalidArgumentError(StrCat(path, ": broken database (", what, "); get it again"));
  };
  std::vector<bool> seen(db->data_section_size);
  const uint32_t nodes = db->metadata.node_count;
  for (uint32_t n = 0; n < nodes; ++n) {
    MMDB_search_node_s node;
    if (const int code = MMDB_read_node(db, n, &node); code != MMDB_SUCCESS)
      return broken(MMDB_strerror(code));
    const std::pair<uint8_t, MMDB_entry_s*> sides[] = {
        {node.left_record_type, &node.left_record_entry},
        {node.right_record_type, &node.right_record_entry}};
    for (const auto& [type, entry] : sides) {
      if (type == MMDB_RECORD_TYPE_INVALID) return broken("a search tree node points nowhere");
      if (type != MMDB_RECORD_TYPE_DATA) continue;
      if (entry->offset >= seen.size()) return broken("a search tree node points outside the data");
      if (seen[entry->offset]) continue;
      seen[entry->offset] = true;
      MMDB_entry_data_list_s* list = nullptr;
      const int code = MMDB_get_entry_data_list(entry, &list);
      MMDB_free_entry_data_list(list);
      if (code != MMDB_SUCCESS) return broken(MMDB_strerror(code));
    }
  }
  return absl::OkStatus();
}

}  // namespace

struct AddressBook::State {
  std::vector<std::unique_ptr<MMDB_s>> databases;
  ~State() {
    for (auto& db : databases) MMDB_close(db.get());
  }
};

AddressBook::AddressBook() : state_(std::make_unique<State>()) {}
AddressBook::~AddressBook() = default;
AddressBook::AddressBook(AddressBook&&) noexcept = default;
AddressBook& AddressBook::operator=(AddressBook&&) noexcept = default;

absl::StatusOr<AddressBook> AddressBook::Open(const std::vector<std::string>& paths) {
  AddressBook book;
  for (const std::string& path : paths) {
    if (absl::Status s = CheckNodeCount(path); !s.ok()) return s;
    auto db = std::make_unique<MMDB_s>();
    if (const int code = MMDB_open(path.c_str(), MMDB_MODE_MMAP, db.get()); code != MMDB_SUCCESS) {
      return absl::InvalidArgumentError(
          StrCat(path, ": cannot be used as a MaxMind database: ", MMDB_strerror(code)));
    }
    book.state_->databases.push_back(std::move(db));
    if (absl::Status s = Check(book.state_->databases.back().get(), path); !s.ok()) return s;
  }
  return book;
}

model::AddressInfo AddressBook::Lookup(std::string_view ip) const {
  model::AddressInfo info;
  const std::string text(ip);
  for (const auto& db : state_->databases) {
    int address_error, code;
    MMDB_lookup_result_s found = MMDB_lookup_string(db.get(), text.c_str(), &address_error, &code);
    if (address_error != 0) return {};  // not an address
    if (code != MMDB_SUCCESS || !found.found_entry) continue;
    MMDB_entry_s* entry = &found.entry;
    const std::string type = db->metadata.database_type;
    if (info.asn == 0) {
      info.asn = Number(entry, {"autonomous_system_number"});
      if (info.asn == 0) info.asn = Number(entry, {"traits", "autonomous_system_number"});
      info.as_org = Text(entry, {"autonomous_system_organization"});
      if (info.as_org.empty())
        info.as_org = Text(entry, {"traits", "autonomous_system_organization"});
    }
    const auto say = [&](const std::string& address_class, int confidence) {
      if (address_class.empty() || Rank(address_class) >= Rank(info.address_class)) return;
      info.address_class = address_class;
      info.source = type;
      info.confidence = confidence;
    };
    const uint32_t stated = Number(entry, {"anonymizer_confidence"});
    const int confidence = stated > 0 ? static_cast<int>(stated) : 80;
    if (Flag(entry, "is_tor_exit_node")) say("tor", 95);
    if (Flag(entry, "is_residential_proxy")) say("residential_proxy", confidence);
    if (Flag(entry, "is_public_proxy")) say("public_proxy", confidence);
    if (Flag(entry, "is_anonymous_vpn")) {
      // Apple's and similar relays are VPNs whose customers did not choose to hide.
      say(Text(entry, {"provider_name"}).find("Relay") != std::string::npos ? "relay" : "vpn",
          confidence);
    }
    if (Flag(entry, "is_hosting_provider")) say("hosting", 80);
    if (type.find("Residential-Proxy") != std::string::npos) say("residential_proxy", confidence);
    say(FromUserType(Text(entry, {"traits", "user_type"})), 70);
  }
  return info;
}

std::vector<model::InfrastructureLine> Summarise(
    const AddressBook& book, const std::map<std::string, uint64_t>& exchanges_by_address) {
  std::map<std::pair<std::string, uint32_t>, model::InfrastructureLine> lines;
  for (const auto& [address, exchanges] : exchanges_by_address) {
    const model::AddressInfo info = book.Lookup(address);
    if (info.address_class.empty() && info.asn == 0) continue;
    model::InfrastructureLine& line = lines[{info.address_class, info.asn}];
    line.address_class = info.address_class.empty() ? "unknown"
                                                    : StrCat(info.address_class, " (", info.source,
                                                             ", ", info.confidence, " %)");
    line.as_org = info.as_org;
    line.asn = info.asn;
    ++line.addresses;
    line.exchanges += exchanges;
  }
  std::vector<model::InfrastructureLine> out;
  for (auto& [key, line] : lines) out.push_back(std::move(line));
  std::stable_sort(out.begin(), out.end(),
                   [](const auto& a, const auto& b) { return a.exchanges > b.exchanges; });
  return out;
}

}  // namespace stillwatch::enrich
