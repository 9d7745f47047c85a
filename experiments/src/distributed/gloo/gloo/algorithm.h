#pragma once  // see the README next to this folder
