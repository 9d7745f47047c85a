#include "tokenizers/unicode.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/ucasemap.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "io/utf8.h"

namespace hessian::models {
namespace {

void check(UErrorCode status) {
  if (U_FAILURE(status) != 0) {
    throw std::runtime_error(std::string("ICU: ") + u_errorName(status));
  }
}

const icu::Normalizer2& normalizer(NormalizationForm form) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* found = nullptr;
  switch (form) {
    case NormalizationForm::nfc:
      found = icu::Normalizer2::getNFCInstance(status);
      break;
    case NormalizationForm::nfd:
      found = icu::Normalizer2::getNFDInstance(status);
      break;
    case NormalizationForm::nfkc:
      found = icu::Normalizer2::getNFKCInstance(status);
      break;
    case NormalizationForm::nfkd:
      found = icu::Normalizer2::getNFKDInstance(status);
      break;
  }
  check(status);
  return *found;
}

// The versions of Unicode in the reference: huggingface/tokenizers uses crates with old tables.
constexpr std::uint8_t last_punctuation_version = 8;
constexpr const char* normalized_set = "[:age=9.0:]";

/// Whether a version of Unicode has a code point.
bool is_assigned(UChar32 code, std::uint8_t version) {
  UVersionInfo age;
  u_charAge(code, age);
  return age[0] != 0 && age[0] <= version;
}

icu::StringPiece piece(std::string_view text) {
  if (text.size() > INT32_MAX / 4) {
    throw std::runtime_error("a text of " + std::to_string(text.size()) +
                             " bytes is too long to be normalized in one piece; divide it into several files");
  }
  return {text.data(), static_cast<std::int32_t>(text.size())};
}

/// The mapping to lower case of no language in particular.
struct CaseMap {
  UCaseMap* map = nullptr;

  CaseMap() {
    UErrorCode status = U_ZERO_ERROR;
    map = ucasemap_open("", 0, &status);
    check(status);
  }
  CaseMap(const CaseMap&) = delete;
  CaseMap& operator=(const CaseMap&) = delete;
  ~CaseMap() { ucasemap_close(map); }
};

void append_lower_case(std::string_view code_point, std::string& result) {
  static const CaseMap lower;
  char buffer[32];
  UErrorCode status = U_ZERO_ERROR;
  const auto length = ucasemap_utf8ToLower(lower.map, buffer, sizeof(buffer), code_point.data(),
                                           static_cast<std::int32_t>(code_point.size()), &status);
  check(status);
  result.append(buffer, static_cast<std::size_t>(length));
}

/// Returns the combining class with which the canonical decomposition of a code point begins; 0 for a starter.
std::uint8_t leading_class(char32_t code_point) {
  constexpr char32_t first_mark = 0x300;
  return code_point < first_mark ? 0
                                 : static_cast<std::uint8_t>(u_getIntPropertyValue(
                                       static_cast<UChar32>(code_point), UCHAR_LEAD_CANONICAL_COMBINING_CLASS));
}

/// Appends combining marks in canonical order: decomposed, and sorted by their classes.
void append_sorted(std::string_view marks, std::string& result) {
  const icu::Normalizer2& nfd = normalizer(NormalizationForm::nfd);
  std::u32string sorted;
  icu::UnicodeString decomposition;
  for (const char32_t mark : code_points(marks)) {
    if (nfd.getDecomposition(static_cast<UChar32>(mark), decomposition) == 0) {
      sorted += mark;
      continue;
    }
    for (std::int32_t i = 0; i < decomposition.length(); i = decomposition.moveIndex32(i, 1)) {
      sorted += static_cast<char32_t>(decomposition.char32At(i));
    }
  }
  std::ranges::stable_sort(sorted, {}, [](char32_t mark) { return u_getCombiningClass(static_cast<UChar32>(mark)); });
  for (const char32_t mark : sorted) {
    append_utf8(mark, result);
  }
}

/// Returns the end of the run of combining marks that begins at a position; the position itself if none stands there.
/// \param known  code points that are normalized; others end a run
std::size_t marks_end(std::string_view text, std::size_t begin, const icu::UnicodeSet& known) {
  std::size_t end = begin;
  while (end < text.size()) {
    const char32_t code_point = first_code_point(text.substr(end));
    if (leading_class(code_point) == 0 || known.contains(static_cast<UChar32>(code_point)) == 0) {
      break;
    }
    end += utf8_length(text[end]);
  }
  return end;
}

/// Returns a canonically equivalent text in which long runs of combining marks have canonical order; an empty text if there
/// are no long runs. ICU inserts each mark at its place, which takes quadratic time.
std::string with_sorted_marks(std::string_view text, const icu::UnicodeSet& known) {
  // Text in the Stream-Safe Format has at most 30 marks in a row (Unicode Standard Annex 15, section 13).
  constexpr std::size_t max_unsorted_bytes = 128;
  std::string result;
  std::size_t copied = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = marks_end(text, begin, known);
    if (end - begin > max_unsorted_bytes) {
      result += text.substr(copied, begin - copied);
      append_sorted(text.substr(begin, end - begin), result);
      copied = end;
    }
    begin = end == begin ? begin + utf8_length(text[begin]) : end;
  }
  return copied == 0 ? "" : result.append(text.substr(copied));
}

}  // namespace

std::string normalized(std::string_view text, NormalizationForm form) {
  const icu::Normalizer2& all = normalizer(form);
  UErrorCode status = U_ZERO_ERROR;
  static const icu::UnicodeSet old_code_points(normalized_set, status);
  check(status);
  const std::string sorted = with_sorted_marks(text, old_code_points);
  if (!sorted.empty()) {
    text = sorted;
  }
  const icu::StringPiece input = piece(text);
  const bool is_normalized = all.isNormalizedUTF8(input, status) != 0;
  check(status);
  if (is_normalized) {
    return std::string(text);
  }
  const icu::FilteredNormalizer2 old(all, old_code_points);
  std::string result;
  icu::StringByteSink<std::string> sink(&result, input.size());
  old.normalizeUTF8(0, input, sink, nullptr, status);
  check(status);
  return result;
}

std::string lower_case(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(text[i]);
    if (length == 1) {
      result += text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] + 32) : text[i];
    } else {
      append_lower_case(text.substr(i, length), result);
    }
    i += length;
  }
  return result;
}

bool is_normalized_alone(char32_t code_point) {
  const icu::Normalizer2& nfkc = normalizer(NormalizationForm::nfkc);
  const auto code = static_cast<UChar32>(code_point);
  return nfkc.hasBoundaryBefore(code) != 0 && nfkc.hasBoundaryAfter(code) != 0;
}

bool is_whitespace(char32_t code_point) {
  return u_isUWhiteSpace(static_cast<UChar32>(code_point)) != 0;
}

bool is_numeric(char32_t code_point) {
  return (U_GET_GC_MASK(static_cast<UChar32>(code_point)) & U_GC_N_MASK) != 0;
}

bool is_punctuation(char32_t code_point) {
  const auto code = static_cast<UChar32>(code_point);
  if (code < 0x80) {
    return u_isgraph(code) != 0 && u_isalnum(code) == 0;
  }
  return (U_GET_GC_MASK(code) & U_GC_P_MASK) != 0 && is_assigned(code, last_punctuation_version);
}

bool is_word(char32_t code_point) {
  const auto code = static_cast<UChar32>(code_point);
  return u_isUAlphabetic(code) != 0 || (U_GET_GC_MASK(code) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0 ||
         u_hasBinaryProperty(code, UCHAR_JOIN_CONTROL) != 0;
}

std::string short_property_name(const std::string& name) {
  const auto category = u_getPropertyValueEnum(UCHAR_GENERAL_CATEGORY_MASK, name.c_str());
  if (category != UCHAR_INVALID_CODE) {
    return u_getPropertyValueName(UCHAR_GENERAL_CATEGORY_MASK, category, U_SHORT_PROPERTY_NAME);
  }
  if (u_getPropertyValueEnum(UCHAR_SCRIPT, name.c_str()) != UCHAR_INVALID_CODE) {
    return "sc:" + name;
  }
  return name;
}

}  // namespace hessian::models
