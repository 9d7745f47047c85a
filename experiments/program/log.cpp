#include "program/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

namespace hessian::experiments {

void set_log_name(const std::string& program) {
  auto logger = std::make_shared<spdlog::logger>(program, std::make_shared<spdlog::sinks::stderr_sink_st>());
  logger->set_pattern("%n: %v");
  spdlog::set_default_logger(std::move(logger));
}

void log_note(const std::string& message) {
  spdlog::info("{}", message);
}

void log_warning(const std::string& message) {
  spdlog::warn("warning: {}", message);
}

void log_error(const std::string& message) {
  spdlog::error("{}", message);
}

}  // namespace hessian::experiments
