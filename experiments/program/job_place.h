#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hessian::experiments {

/// The place of this process among those that work on one job together.
struct JobPlace {
  int rank = 0;
  int size = 1;              ///< processes of the job
  int local_rank = 0;        ///< among those of this machine; chooses the GPU
  int local_size = 1;        ///< processes of the job on this machine
  std::string address;       ///< machine at which the processes meet
  int port = 0;              ///< and its port
  bool store_is_up = false;  ///< whether the launcher listens there; otherwise the first process does
  std::string attempt;       ///< tells the processes of one start of the job from those of the one before

  bool is_first() const { return rank == 0; }
};

/// Reads the place from the environment that a launcher sets: torchrun's RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE,
/// MASTER_ADDR and MASTER_PORT, or those of a Slurm step (srun). Without a launcher the process is alone.
/// \throws std::invalid_argument  if a variable is missing beside others, or is not what it should be, naming it
JobPlace job_place();

/// Names of the variables that job_place() reads. A program that is started by a process of a job must not inherit
/// them, or it would take itself for that process.
const std::vector<std::string>& job_place_variables();

/// The first machine of Slurm's list of them: "n1" of "n[1-3,7],m2".
std::string first_host(const std::string& slurm_list);

}  // namespace hessian::experiments
