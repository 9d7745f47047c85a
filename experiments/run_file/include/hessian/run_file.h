#pragma once

/// Run files: the HDF5 files that every program writes its results to. docs/file-format.md describes their contents.

#include "hessian/run_file/dataset_spec.h"
#include "hessian/run_file/reader.h"
#include "hessian/run_file/run_info.h"
#include "hessian/run_file/writer.h"
