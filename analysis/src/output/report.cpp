#include "output/report.h"

#include <fstream>
#include <kainjow/mustache.hpp>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "output/gnuplot.h"
#include "output/text_file.h"
#include "report_template.h"

namespace hessian::analysis {
namespace {

namespace fs = std::filesystem;
using kainjow::mustache::data;

std::string contents_of(const fs::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Provides figures as SVG elements, without the XML declaration of a file.
class SvgSource {
 public:
  SvgSource(const fs::path& page, fs::path drawings) : page_(page), drawings_(std::move(drawings)) {}

  std::string operator()(const Figure& figure) const {
    const std::string svg = drawings_.empty() ? drawn(figure) : contents_of(drawings_ / (figure.id + ".svg"));
    const std::size_t start = svg.find("<svg");
    if (start == std::string::npos) {
      throw std::runtime_error(page_.string() + ": gnuplot made no SVG of " + figure.id);
    }
    return svg.substr(start);
  }

 private:
  std::string drawn(const Figure& figure) const {
    const fs::path image = page_.parent_path() / ("." + page_.filename().string() + "." + figure.id + ".svg");
    draw(figure, "svg", image);
    std::string svg = contents_of(image);
    fs::remove(image);
    return svg;
  }

  fs::path page_;
  fs::path drawings_;
};

data list_of(const std::vector<std::string>& texts) {
  data list(data::type::list);
  for (const std::string& text : texts) {
    list << data("text", text);
  }
  return list;
}

data table_of(const Table& table) {
  data object;
  object.set("title", table.title);
  object.set("header", list_of(table.header));
  data rows(data::type::list);
  for (const auto& row : table.rows) {
    rows << data("cells", list_of(row));
  }
  object.set("rows", rows);
  return object;
}

data figure_of(const Figure& figure, const SvgSource& svg_of) {
  data object;
  object.set("id", figure.id);
  object.set("title", figure.title);
  object.set("caption", figure.caption);
  object.set("svg", svg_of(figure));
  object.set("warnings", list_of(figure.warnings));
  return object;
}

data section_of(const Section& section, std::size_t number, const SvgSource& svg_of) {
  data object;
  object.set("title", section.title);
  object.set("anchor", "section-" + std::to_string(number));
  object.set("paragraphs", list_of(section.paragraphs));
  object.set("warnings", list_of(section.warnings));
  object.set("commands", list_of(section.commands));
  data tables(data::type::list);
  for (const Table& table : section.tables) {
    tables << table_of(table);
  }
  object.set("tables", tables);
  data figures(data::type::list);
  for (const Figure& figure : section.figures) {
    figures << figure_of(figure, svg_of);
  }
  object.set("figures", figures);
  return object;
}

}  // namespace

void write_report(const Report& report, const fs::path& page, const fs::path& drawings) {
  const SvgSource svg_of(page, drawings);
  data object;
  object.set("title", report.title);
  object.set("summary", report.summary);
  data sections(data::type::list);
  for (std::size_t i = 0; i < report.sections.size(); ++i) {
    sections << section_of(report.sections[i], i + 1, svg_of);
  }
  object.set("sections", sections);
  kainjow::mustache::mustache page_template(report_template);
  const std::string html = page_template.render(object);
  if (!page_template.is_valid()) {
    throw std::runtime_error(page.string() + ": " + page_template.error_message());
  }
  write_text(page, html);
}

}  // namespace hessian::analysis
