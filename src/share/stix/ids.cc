#include "share/stix/ids.h"

#include <openssl/evp.h>

#include <array>
#include <cstring>

#include "base/hex.h"
#include "base/str.h"

namespace stillwatch::share::stix {
namespace {

using base::StrCat;

int Digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string Dashed(std::string_view hex) {
  return StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-",
                hex.substr(16, 4), "-", hex.substr(20, 12));
}

}  // namespace

std::string Uuid5(std::string_view name_space, std::string_view name) {
  std::string bytes;
  for (size_t i = 0; i + 1 < name_space.size();) {
    if (name_space[i] == '-') {
      ++i;
      continue;
    }
    bytes.push_back(static_cast<char>(Digit(name_space[i]) << 4 | Digit(name_space[i + 1])));
    i += 2;
  }
  bytes += name;
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned int size = 0;
  EVP_Digest(bytes.data(), bytes.size(), hash.data(), &size, EVP_sha1(), nullptr);
  hash[6] = static_cast<unsigned char>((hash[6] & 0x0f) | 0x50);
  hash[8] = static_cast<unsigned char>((hash[8] & 0x3f) | 0x80);
  return Dashed(base::Hex(std::string_view(reinterpret_cast<const char*>(hash.data()), 16)));
}

bool IsUuid(std::string_view t) {
  if (t.size() != 36) return false;
  for (size_t i = 0; i < t.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? t[i] != '-' : Digit(t[i]) < 0) return false;
  }
  const int version = Digit(t[14]), variant = Digit(t[19]);
  return version >= 1 && version <= 5 && variant >= 8 && variant <= 11;
}

std::string CanonicalString(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20)
          out += "\\u" + base::Hex(static_cast<uint64_t>(c)).substr(12);
        else
          out.push_back(c);
    }
  }
  return out + '"';
}

std::string OwnId(std::string_view type, const std::vector<std::string_view>& parts) {
  std::string name(type);
  for (const std::string_view p : parts) name.append(1, '\0').append(p);
  return StrCat(type, "--", Uuid5(kOwnNamespace, name));
}

std::optional<Observable> ObservableOf(const Item& item, std::string_view campaign_key) {
  Observable o;
  const auto account = [&](const std::string& user_id) {
    o.type = "user-account";
    o.properties = {{"account_type", "llm-api"}, {"user_id", user_id}};
  };
  if (item.blinded()) {
    if (item.type() != ItemType::kAccountId) return std::nullopt;
    account(item.value());
  } else {
    switch (item.type()) {
      case ItemType::kAddress:
        o.type = item.value().find(':') == std::string::npos ? "ipv4-addr" : "ipv6-addr";
        o.properties = {{"value", item.value()}};
        break;
      case ItemType::kMailDomain:
        o.type = "domain-name";
        o.properties = {{"value", item.value()}};
        break;
      case ItemType::kNetwork:
        o.type = "autonomous-system";
        o.properties = {{"number", item.value(), true}};
        break;
      case ItemType::kClient: {
        o.type = "software";
        const size_t slash = item.value().find('/');
        o.properties = {{"name", item.value().substr(0, slash)}};
        if (slash != std::string::npos)
          o.properties.push_back({"version", item.value().substr(slash + 1)});
        break;
      }
      case ItemType::kAccountId:
        account(item.value());
        break;
      case ItemType::kAccount:
        account(StrCat(campaign_key, "/", item.value()));
        break;
      default:
        return std::nullopt;
    }
  }
  std::string name = "{";
  for (const auto& p : o.properties)
    base::StrAppend(&name, name.size() > 1 ? "," : "", "\"", p.name,
                    "\":", p.number ? p.value : CanonicalString(p.value));
  o.id = StrCat(o.type, "--", Uuid5(kOasisNamespace, name + "}"));
  return o;
}

}  // namespace stillwatch::share::stix
