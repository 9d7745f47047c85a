#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hessian::experiments {

/// The place of this process in a job of one or several processes.
struct JobPlace {
  int rank = 0;
  int size = 1;              ///< processes in the job
  int local_rank = 0;        ///< rank on this machine; selects the GPU
  int local_size = 1;        ///< processes of the job on this machine
  std::string address;       ///< host name of the rendezvous
  int port = 0;              ///< port of the rendezvous
  bool store_is_up = false;  ///< whether the launcher serves the rendezvous; otherwise the first process does
  std::string attempt;       ///< distinguishes restarts of the same job

  bool is_first() const { return rank == 0; }
};

/// Reads rank and world size from the environment that a launcher sets: torchrun's RANK, WORLD_SIZE, LOCAL_RANK,
/// LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT, or the variables of a Slurm step (srun). Without a launcher the job
/// has one process.
/// \throws std::invalid_argument  naming the variable, if one is malformed, or missing while others are set
JobPlace job_place();

/// Returns the names of the variables that job_place() reads. A child of a process of a job must not inherit them, or
/// it would act as that process.
const std::vector<std::string>& job_place_variables();

/// Returns the first host of a Slurm node list: "n1" of "n[1-3,7],m2".
std::string first_host(const std::string& slurm_list);

}  // namespace hessian::experiments
