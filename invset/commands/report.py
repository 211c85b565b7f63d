"""``invset report``: make the page of runs, sweeps and comparisons anew, from their folders and
without sampling.
"""

from __future__ import annotations

from pathlib import Path

from invset.errors import InvsetError

USAGE = """usage: invset report FOLDER ... [jobs=false]

  Writes report.html into the folder of a run (outputs/DATE/TIME), of a sweep and each of its jobs,
  or of a comparison (outputs/compare), from what the folder holds.

  jobs=false  of a sweep: only the page that joins its jobs, not those of the jobs themselves
"""

#: What may be typed beside folders -> whether the jobs of sweeps have pages of their own.
_JOBS = {"jobs=true": True, "jobs=false": False}


def main(words: list[str]) -> int:
    """Write the pages and print their paths.

    Args:
        words: what was typed behind ``invset report``.

    Raises:
        InvsetError: no folder was named, jobs= is no truth, a folder holds no run, sweep or
            comparison, or a process works in it.
    """
    if "--help" in words or "-h" in words:
        print(USAGE, end="")
        return 0
    paged = all(_JOBS.get(word, True) for word in words)
    named = [word for word in words if word not in _JOBS]
    for word in named:
        if word.startswith("jobs="):
            raise InvsetError(f"jobs is true or false, not {word.removeprefix('jobs=')}")
    if not named:
        raise InvsetError(
            "invset report needs a folder; type for example: invset report outputs/DATE/TIME"
        )
    from invset.commands.sweep import join
    from invset.files.job_list import jobs_of
    from invset.files.owner import at_rest, locked
    from invset.files.rundir import RunDir
    from invset.report.folder import has_pictures
    from invset.report.run_page import write_report

    for folder in map(Path, named):
        if not folder.is_dir():
            raise InvsetError(
                f"there is no folder {folder}; type for example: invset report outputs/DATE/TIME"
            )
        with at_rest(folder):
            folders = jobs_of(folder)
            for job in folders if paged else ():
                with at_rest(job):
                    if (job / "summary.json").is_file() and has_pictures(job):
                        print(write_report(job))
            if folders:
                join(folder, report=True)
            elif (folder / "runs.csv").is_file():
                from invset.report.compare_folder import write_comparison  # with torch

                with locked(folder, "and type the command again"):
                    write_comparison(RunDir(folder))
                print(folder / "report.html")
            else:
                print(write_report(folder))
    return 0
